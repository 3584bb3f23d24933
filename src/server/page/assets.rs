//! Style, scripts and icon of the pages, compiled into the program.
//!
//! Contract: every asset has an address that holds a hash of its content, so that it can be cached
//! for good: what changes has another address. An address with an older or newer hash, asked for
//! while several versions of the program run side by side, is answered with what this one has, and
//! then must not be cached.

use std::sync::LazyLock;

use bytes::Bytes;

use super::{Rendered, security_headers};

/// One embedded file.
#[derive(Debug)]
pub struct Asset {
    stem: &'static str,
    extension: &'static str,
    content_type: &'static str,
    body: &'static [u8],
    /// Address under which it is served.
    pub url: String,
    etag: String,
}

impl Asset {
    fn new(stem: &'static str, extension: &'static str, body: &'static [u8]) -> Self {
        let mut crc = flate2::Crc::new();
        crc.update(body);
        let hash = format!("{:08x}", crc.sum());
        let content_type = match extension {
            "js" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            _ => "image/svg+xml",
        };
        let url = format!("/assets/{stem}-{hash}.{extension}");
        Self { stem, extension, content_type, body, url, etag: format!("\"{hash}\"") }
    }

    /// Content of the file.
    pub fn body(&self) -> &'static [u8] {
        self.body
    }
}

/// All embedded files.
#[derive(Debug)]
pub struct Assets {
    /// Style of all pages.
    pub style: Asset,
    /// The pages' own script: pausing, the state of the connection, the chart.
    pub script: Asset,
    /// htmx: refreshes what changes.
    pub htmx: Asset,
    /// uPlot: the chart of one series.
    pub uplot: Asset,
    /// Style of uPlot.
    pub uplot_style: Asset,
    /// Icon of the site.
    pub icon: Asset,
}

/// The embedded files, hashed once.
pub static ASSETS: LazyLock<Assets> = LazyLock::new(|| Assets {
    style: Asset::new("page", "css", include_bytes!("../../../assets/page.css")),
    script: Asset::new("page", "js", include_bytes!("../../../assets/page.js")),
    htmx: Asset::new("htmx", "js", include_bytes!("../../../assets/vendor/htmx.min.js")),
    uplot: Asset::new("uplot", "js", include_bytes!("../../../assets/vendor/uplot.min.js")),
    uplot_style: Asset::new("uplot", "css", include_bytes!("../../../assets/vendor/uplot.min.css")),
    icon: Asset::new("icon", "svg", include_bytes!("../../../assets/icon.svg")),
});

impl Assets {
    /// Every file.
    pub fn all(&self) -> [&Asset; 6] {
        [&self.style, &self.script, &self.htmx, &self.uplot, &self.uplot_style, &self.icon]
    }
}

/// Answers a request for `/assets/{file}`; `None` where there is no such asset.
pub fn respond(file: &str, if_none_match: Option<&str>) -> Option<Rendered> {
    let (stem, rest) = file.rsplit_once('-')?;
    let (hash, extension) = rest.rsplit_once('.')?;
    let asset = ASSETS.all().into_iter().find(|a| a.stem == stem && a.extension == extension)?;
    let current = asset.etag.trim_matches('"') == hash;
    let cache = if current { "public, max-age=31536000, immutable" } else { "no-store" };
    let mut headers = security_headers();
    headers.push(("cache-control", cache.into()));
    headers.push(("etag", asset.etag.clone()));
    let known = if_none_match.is_some_and(|tags| {
        tags.split(',').any(|tag| {
            matches!(tag.trim().trim_start_matches("W/"), "*")
                || tag.trim().trim_start_matches("W/") == asset.etag
        })
    });
    let (status, body) = if known { (304, Bytes::new()) } else { (200, Bytes::from_static(asset.body)) };
    Some(Rendered { status, content_type: asset.content_type, body, headers })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header<'a>(rendered: &'a Rendered, name: &str) -> Option<&'a str> {
        rendered.headers.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn every_asset_is_served_under_its_own_address_and_cached_for_good() {
        for asset in ASSETS.all() {
            let file = asset.url.strip_prefix("/assets/").unwrap();
            let rendered = respond(file, None).unwrap();
            assert_eq!((rendered.status, rendered.body.len()), (200, asset.body().len()));
            assert!(header(&rendered, "cache-control").unwrap().contains("immutable"));
            let etag = header(&rendered, "etag").unwrap().to_owned();
            for tag in [etag.clone(), format!("\"x\", W/{etag}"), "*".into()] {
                let again = respond(file, Some(&tag)).unwrap();
                assert_eq!((again.status, again.body.len()), (304, 0), "{tag}");
            }
        }
    }

    #[test]
    fn another_hash_gets_what_there_is_but_not_for_the_cache() {
        let rendered = respond("page-00000000.css", None).unwrap();
        assert_eq!(rendered.status, 200);
        assert_eq!(header(&rendered, "cache-control"), Some("no-store"));
    }

    #[test]
    fn other_files_are_not_found() {
        for file in ["", "page", "page.css", "page-.txt", "../Cargo-1.toml", "secret-1.css"] {
            assert!(respond(file, None).is_none(), "{file}");
        }
    }
}
