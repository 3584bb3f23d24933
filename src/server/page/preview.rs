use super::query::*;
use super::*;
use warp::Filter as _;

#[tokio::test(flavor = "multi_thread")]
#[ignore]
async fn serve() {
    let start = std::time::Instant::now();
    let hits = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let h2 = hits.clone();
    let filter = warp::path::full()
        .and(warp::query::raw().or(warp::any().map(String::new)).unify())
        .and(warp::header::optional::<String>("accept"))
        .and(warp::header::optional::<String>("hx-request-type"))
        .and(warp::header::optional::<String>("if-none-match"))
        .map(
            move |path: warp::path::FullPath,
                  q: String,
                  accept: Option<String>,
                  hx: Option<String>,
                  inm: Option<String>| {
                let elapsed = start.elapsed().as_millis() as i64;
                if path.as_str() == "/__hits" {
                    return http::Response::builder()
                        .body(h2.load(std::sync::atomic::Ordering::Relaxed).to_string().into_bytes())
                        .unwrap();
                }
                if hx.is_some() {
                    h2.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
                let mut shell = fixture::shell();
                shell.now_ms += elapsed;
                let fmt = match format(&q, accept.as_deref(), hx.as_deref() == Some("partial")) {
                    Ok(f) => f,
                    Err(e) => return out(problem(400, "Bad request", &e.to_string(), &shell, Format::Html)),
                };
                let view = match route(path.as_str(), &q) {
                    None => return out(problem(404, "Not found", "There is no such page.", &shell, fmt)),
                    Some(Err(e)) => {
                        return out(problem(400, "That filter makes no sense", &e.to_string(), &shell, fmt));
                    }
                    Some(Ok(Page::Asset { file })) => {
                        return assets::respond(&file, inm.as_deref()).map_or_else(
                            || out(problem(404, "Not found", "No such asset", &shell, fmt)),
                            out,
                        );
                    }
                    Some(Ok(Page::Overview)) => {
                        if q.contains("empty") {
                            View::Overview(data::Overview::default())
                        } else {
                            let mut d = fixture::overview();
                            d.now_ms += elapsed;
                            if let Some(h) = &mut d.host {
                                for c in &mut h.cards {
                                    for r in &mut c.readings {
                                        let n = r.points.len();
                                        let k = (elapsed / 1000) as usize % n;
                                        r.points.rotate_left(k);
                                        for (i, p) in r.points.iter_mut().enumerate() {
                                            p.0 = d.now_ms - (n - i) as i64 * 10_000;
                                        }
                                        r.value = r.points.last().map(|p| p.1);
                                    }
                                }
                            }
                            View::Overview(d)
                        }
                    }
                    Some(Ok(Page::Components(q))) => {
                        let n = if q.q == "many" { 900 } else { 24 };
                        let q = if q.q == "many" { ComponentsQuery { q: String::new(), ..q } } else { q };
                        let mut l = fixture::component_list(n, q);
                        l.now_ms += elapsed;
                        View::Components(l)
                    }
                    Some(Ok(Page::Component { runtime_id, query })) => {
                        let mut p = fixture::component_page(if runtime_id == 2 { 450 } else { 84 }, query);
                        p.component.runtime_id = runtime_id;
                        p.now_ms += elapsed;
                        if let Some(c) = &mut p.chart {
                            c.points.push((p.now_ms, 33.0));
                        }
                        View::Component(Box::new(p))
                    }
                    Some(Ok(Page::Explorer(q))) => View::Explorer(fixture::explorer(60, q)),
                    Some(Ok(Page::Status)) => View::Status(if q.contains("empty") {
                        data::Status::default()
                    } else {
                        fixture::status()
                    }),
                };
                out(respond(&view, &shell, fmt))
            },
        );
    let port: u16 = std::env::var("PAGE_PORT").unwrap().parse().unwrap();
    warp::serve(filter).run(([127, 0, 0, 1], port)).await;
}

fn out(r: Rendered) -> http::Response<Vec<u8>> {
    let mut b = http::Response::builder().status(r.status).header("content-type", r.content_type);
    for (n, v) in r.headers {
        b = b.header(n, v);
    }
    b.body(r.body.to_vec()).unwrap()
}
