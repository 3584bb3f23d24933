//! Pictures of how a cost grows with size, both on logarithmic scales: `docs/benchmarks/row-4.svg`,
//! drawn from the figures in `row-4.json` beside it, so that it can be drawn again without measuring.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use maud::{Markup, PreEscaped, html};
use serde::{Deserialize, Serialize};

use crate::error::{BenchError, Context, Result};
use crate::stats::exponent;

/// The pictures of one row.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Figure {
    /// What the row measures.
    pub(crate) title: String,
    /// Side by side.
    pub(crate) panels: Vec<Panel>,
}

/// One cost of all sides.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Panel {
    /// The cost: what grows upwards.
    cost: String,
    /// Its unit: `s`, `B`, or nothing.
    unit: String,
    /// What there is more and more of to the right.
    size: String,
    curves: Vec<Curve>,
}

/// One side: ours is the first of a panel.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Curve {
    name: String,
    /// Size and cost.
    points: Vec<(f64, f64)>,
}

impl Panel {
    /// A panel without a line.
    pub(crate) fn new(cost: &str, unit: &str, size: &str) -> Self {
        Self { cost: cost.into(), unit: unit.into(), size: size.into(), curves: Vec::new() }
    }

    /// Adds a side, by points of size and cost, where it was measured at more than one size.
    pub(crate) fn curve(mut self, name: &str, points: &[(f64, f64)]) -> Self {
        if points.len() > 1 {
            self.curves.push(Curve { name: name.into(), points: points.to_vec() });
        }
        self
    }

    /// The extent of one coordinate, a share wider on both sides and at least a decade.
    fn extent(&self, of: fn(&(f64, f64)) -> f64) -> Option<(f64, f64)> {
        let logs = || self.curves.iter().flat_map(|curve| &curve.points).map(|point| of(point).log10());
        let (low, high) = (logs().fold(f64::INFINITY, f64::min), logs().fold(f64::NEG_INFINITY, f64::max));
        let margin = (0.08 * (high - low)).max((1.0 - (high - low)) / 2.0);
        (low.is_finite() && high.is_finite()).then_some((low - margin, high + margin))
    }
}

/// Keeps a row's figures in `folder`, draws them, and returns the picture's file name; a row without
/// any has no picture.
pub(crate) fn write(folder: &Path, row: u32, figure: &Figure) -> Result<Option<String>> {
    if figure.panels.iter().all(|panel| panel.curves.is_empty()) {
        return Ok(None);
    }
    fs::create_dir_all(folder).context(folder.display().to_string())?;
    let json = folder.join(format!("row-{row}.json"));
    let text = serde_json::to_string(figure).map_err(|error| BenchError::Failed(error.to_string()))?;
    fs::write(&json, text + "\n").context(json.display().to_string())?;
    draw(&json, figure)?;
    Ok(Some(format!("row-{row}.svg")))
}

/// Draws all figures that are kept in `folder` once more.
pub(crate) fn redraw(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).context(folder.display().to_string())? {
        let path = entry.context(folder.display().to_string())?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let name = || path.display().to_string();
            let text = fs::read_to_string(&path).context(name())?;
            let figure = serde_json::from_str(&text)
                .map_err(|error| BenchError::Failed(format!("{}: {error}", name())))?;
            draw(&path, &figure)?;
        }
    }
    Ok(())
}

fn draw(json: &Path, figure: &Figure) -> Result<()> {
    let path = json.with_extension("svg");
    fs::write(&path, svg(figure).into_string() + "\n").context(path.display().to_string())
}

/// Size of a panel, and of the lines in it.
const WIDTH: f64 = 320.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 20.0;
const BOTTOM: f64 = 44.0;
const LINE: f64 = 16.0;
/// Panels beside each other.
const ACROSS: usize = 3;

/// Background, text, grid and sides.
type Colours = [&'static str; 7];
const LIGHT: Colours = ["#fff", "#1f2328", "#d8dee4", "#0b61d8", "#c2410c", "#6b7280", "#15803d"];
const DARK: Colours = ["#0d1117", "#e6edf3", "#30363d", "#6cb0ff", "#fb923c", "#9ca3af", "#4ade80"];
/// Sides with a colour of their own.
const SIDES: usize = 4;

/// The background is the picture's own, since whoever shows it may do so on any other.
fn style() -> String {
    let coloured = |[back, text, grid, sides @ ..]: Colours| {
        let side = |(number, colour): (usize, &str)| {
            format!(".c{number} .line{{stroke:{colour}}}.c{number} .dot{{fill:{colour}}}")
        };
        let sides: String = sides.into_iter().enumerate().map(side).collect();
        format!(".back{{fill:{back}}}text{{fill:{text}}}.grid{{stroke:{grid}}}{sides}")
    };
    let shapes = "text{font:12px system-ui,sans-serif}.head{font-weight:600}.line{stroke-width:2;fill:none}.c0 .line{stroke-width:3}";
    format!("{shapes}{}@media(prefers-color-scheme:dark){{{}}}", coloured(LIGHT), coloured(DARK))
}

fn svg(figure: &Figure) -> Markup {
    let panels: Vec<_> = figure.panels.iter().filter(|panel| !panel.curves.is_empty()).collect();
    let across = panels.len().clamp(1, ACROSS);
    let (width, height) = (WIDTH * across as f64, HEIGHT * panels.len().div_ceil(across) as f64);
    html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox=(format!("0 0 {width} {height}")) width=(width)
            height=(height) role="img" {
            title { (figure.title) }
            style { (PreEscaped(style())) }
            rect.back width=(width) height=(height) {}
            @for (number, panel) in panels.iter().enumerate() {
                @let (x, y) = (WIDTH * (number % across) as f64, HEIGHT * (number / across) as f64);
                g transform=(format!("translate({x} {y})")) { (drawn(panel)) }
            }
        }
    }
}

fn drawn(panel: &Panel) -> Markup {
    let (Some(across), Some(up)) = (panel.extent(|point| point.0), panel.extent(|point| point.1)) else {
        return Markup::default();
    };
    let top = 30.0 + LINE * panel.curves.len() as f64;
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    let at = |value: f64, (low, high): (f64, f64), from: f64, to: f64| {
        round(from + (to - from) * (value.log10() - low) / (high - low))
    };
    let x = |size: f64| at(size, across, LEFT, right);
    let y = |cost: f64| at(cost, up, bottom, top);
    let sizes = panel.curves.iter().max_by_key(|curve| curve.points.len()).map(|curve| &curve.points);
    html! {
        text.head x="10" y="18" { (panel.cost) }
        @for (cost, label) in ticks(up, &panel.unit) {
            path.grid d=(format!("M{LEFT} {}H{right}", y(cost))) {}
            text x=(LEFT - 6.0) y=(y(cost) + 4.0) text-anchor="end" { (label) }
        }
        @for (size, _) in sizes.into_iter().flatten() {
            path.grid d=(format!("M{} {bottom}V{top}", x(*size))) {}
            text x=(x(*size)) y=(bottom + LINE) text-anchor="middle" { (amount(*size, "")) }
        }
        text x=(f64::midpoint(LEFT, right)) y=(HEIGHT - 8.0) text-anchor="middle" { (panel.size) }
        @for (number, curve) in panel.curves.iter().enumerate() {
            @let legend = 18.0 + LINE * (number + 1) as f64;
            g class=(format!("c{}", number % SIDES)) {
                path.line d=(path(curve.points.iter().map(|(size, cost)| (x(*size), y(*cost))))) {}
                @for (size, cost) in &curve.points { circle.dot cx=(x(*size)) cy=(y(*cost)) r="3.5" {} }
                path.line d=(format!("M10 {}h18", legend - 4.0)) {}
                text x="34" y=(legend) { (named(curve)) }
            }
        }
    }
}

/// The side's name, and the power of the size that its cost grows with.
fn named(curve: &Curve) -> Markup {
    html! {
        (curve.name)
        @if let Some(exponent) = exponent(&curve.points) {
            ", n" tspan dy="-4" font-size="10" { (format!("{exponent:.2}")) }
        }
    }
}

fn path(points: impl Iterator<Item = (f64, f64)>) -> String {
    points.enumerate().fold(String::new(), |mut path, (number, (x, y))| {
        let _ = write!(path, "{}{x} {y}", if number == 0 { 'M' } else { 'L' });
        path
    })
}

/// Values that are easily read, over two decades only their powers.
fn ticks((low, high): (f64, f64), unit: &str) -> Vec<(f64, String)> {
    let steps: &[u32] = if high - low > 2.0 { &[1] } else { &[1, 2, 5] };
    let decades = low.floor() as i32..=high.ceil() as i32;
    let values =
        decades.flat_map(|decade| steps.iter().map(move |step| f64::from(*step) * 10f64.powi(decade)));
    let within = values.filter(|value| (low..=high).contains(&value.log10()));
    within.map(|value| (value, amount(value, unit))).collect()
}

/// `20 ms` of 0.02 and `s`; `500k` without a unit.
fn amount(value: f64, unit: &str) -> String {
    const PREFIXES: [(f64, &str); 6] =
        [(1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ")];
    // 1e-3 is a little less than 0.001 times 1.
    let fits = |(size, _): &(f64, &str)| value >= size * 0.999;
    let (size, prefix) = PREFIXES.into_iter().find(fits).unwrap_or((1e-9, "n"));
    let space = if unit.is_empty() { "" } else { " " };
    format!("{}{space}{prefix}{unit}", round(value / size))
}

fn round(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}
