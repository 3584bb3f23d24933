//! The status page: what a person sees of the server in a browser, and the same as JSON.
//!
//! Contract: pure, no I/O. [`route`] says which page an address asks for and [`format()`] in which
//! form; the server fills the [`View`]; [`respond`] renders it. Pages work without JavaScript; htmx
//! refreshes what changes and uPlot draws the chart of one series. Everything a page loads is
//! embedded ([`assets`]), and nothing in it is inline, so the content security policy allows only
//! the server's own files. All data is escaped by the template.

pub mod assets;
mod component;
mod components;
pub mod data;
mod exemplars;
mod explorer;
#[cfg(test)]
mod fixture;
mod humanize;
mod layout;
mod overview;
mod pairs;
mod parts;
mod query;
mod route;
mod spark;
mod status;
mod targets;
#[cfg(test)]
mod tests;
pub(crate) mod unit;

use bytes::Bytes;
use maud::Markup;
use serde_json::json;

use data::{ComponentList, ComponentPage, Explorer, Overview, Shell, Status};
pub use pairs::QueryError;
pub use query::{ComponentsQuery, ExplorerQuery, Range, SeriesQuery, Show};
pub use route::{Format, Page, format, route};

/// The only sources a page may load from: this server.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// A reply, for any HTTP library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// HTTP status.
    pub status: u16,
    /// Value of `content-type`.
    pub content_type: &'static str,
    /// Body, not compressed.
    pub body: Bytes,
    /// Further headers, names in lower case.
    pub headers: Vec<(&'static str, String)>,
}

/// A page with its data.
#[derive(Clone, Debug, PartialEq)]
pub enum View {
    /// `/`
    Overview(Overview),
    /// `/components`
    Components(ComponentList),
    /// `/components/{runtime_id}`
    Component(Box<ComponentPage>),
    /// `/metrics-explorer`
    Explorer(Explorer),
    /// `/status`
    Status(Status),
}

impl View {
    /// The content of the page: what htmx refreshes.
    fn content(&self) -> Markup {
        match self {
            Self::Overview(data) => overview::render(data),
            Self::Components(data) => components::render(data),
            Self::Component(data) => component::render(data),
            Self::Explorer(data) => explorer::render(data),
            Self::Status(data) => status::render(data),
        }
    }

    fn frame(&self) -> layout::Frame<'_> {
        use layout::{Frame, Section};
        match self {
            Self::Overview(_) => Frame::new("Overview", Section::Overview),
            Self::Components(_) => Frame::new("Components", Section::Components),
            Self::Component(data) => Frame {
                title: &data.component.name,
                section: Some(Section::Components),
                chart: data.chart.is_some(),
            },
            Self::Explorer(_) => Frame::new("Metrics", Section::Explorer),
            Self::Status(_) => Frame::new("Status", Section::Status),
        }
    }

    fn json(&self) -> Result<Vec<u8>, serde_json::Error> {
        match self {
            Self::Overview(data) => serde_json::to_vec_pretty(data),
            Self::Components(data) => serde_json::to_vec_pretty(data),
            Self::Component(data) => serde_json::to_vec_pretty(data),
            Self::Explorer(data) => serde_json::to_vec_pretty(data),
            Self::Status(data) => serde_json::to_vec_pretty(data),
        }
    }
}

/// Renders a page in the form that was asked for.
pub fn respond(view: &View, shell: &Shell, format: Format) -> Rendered {
    match format {
        Format::Html => page(200, layout::document(&view.frame(), shell, &view.content())),
        Format::Fragment => page(200, view.content()),
        Format::Json => match view.json() {
            Ok(body) => uncached(200, "application/json", body),
            Err(error) => problem(500, "Page cannot be written as JSON", &error.to_string(), shell, format),
        },
    }
}

/// Renders an error: a page for people, `application/problem+json` for programs. `detail` says what
/// is wrong and what to do.
pub fn problem(status: u16, title: &str, detail: &str, shell: &Shell, format: Format) -> Rendered {
    match format {
        Format::Html => {
            let frame = layout::Frame { title, section: None, chart: false };
            page(status, layout::document(&frame, shell, &layout::problem(status, title, detail)))
        }
        Format::Fragment => page(status, layout::problem(status, title, detail)),
        Format::Json => {
            let body = json!({"type": "about:blank", "title": title, "status": status, "detail": detail});
            uncached(status, "application/problem+json", body.to_string().into_bytes())
        }
    }
}

/// Headers that every reply of the page carries.
fn security_headers() -> Vec<(&'static str, String)> {
    vec![
        ("content-security-policy", CONTENT_SECURITY_POLICY.into()),
        ("x-content-type-options", "nosniff".into()),
        ("referrer-policy", "same-origin".into()),
    ]
}

fn page(status: u16, markup: Markup) -> Rendered {
    uncached(status, "text/html; charset=utf-8", markup.into_string().into_bytes())
}

fn uncached(status: u16, content_type: &'static str, body: Vec<u8>) -> Rendered {
    let mut headers = security_headers();
    headers.push(("cache-control", "no-store".into()));
    headers.push(("vary", "accept, hx-request-type".into()));
    Rendered { status, content_type, body: body.into(), headers }
}
