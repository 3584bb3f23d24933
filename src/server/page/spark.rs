//! The line of a small chart: from points in time to the path of an SVG.
//!
//! Contract: pure. Points in order of time in, path data in the coordinates of a [`Canvas`] out, with
//! y growing downwards. Many points are thinned to the least and the greatest of each stretch, so
//! a spike is never lost. A gap in time or a value that is not finite interrupts the line. No two
//! points make no line but a dot; no point makes an empty path.

use std::fmt::Write as _;

use super::data::Point;

/// Stretches that the points of a large chart are thinned to; each keeps two points.
const LARGE: usize = 400;

/// A gap is a step in time this many times as long as the usual one.
const GAP: i64 = 4;

/// Size of the drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Canvas {
    /// Width in units of the drawing.
    pub(super) width: i32,
    /// Height in units of the drawing.
    pub(super) height: i32,
    /// Stretches of time that many points are thinned to; each keeps two points.
    stretches: usize,
}

impl Canvas {
    /// Beside a value in a table.
    pub(super) const ROW: Self = Self { width: 240, height: 56, stretches: 24 };
    /// Below the number of a card.
    pub(super) const CARD: Self = Self { width: 480, height: 120, stretches: 60 };
    /// The chart of one series.
    pub(super) const CHART: Self = Self { width: 1200, height: 400, stretches: LARGE };

    /// Value of the `viewBox` attribute.
    pub(super) fn view_box(self) -> String {
        format!("0 0 {} {}", self.width, self.height)
    }
}

/// The ends of a scale, in the unit of the values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    /// At the bottom.
    pub(super) min: f64,
    /// At the top.
    pub(super) max: f64,
}

impl Scale {
    /// From nothing to `max`.
    pub(super) const fn up_to(max: f64) -> Self {
        Self { min: 0.0, max }
    }

    /// A scale that fits all of `lines`. It starts at zero where that costs little, and a value that
    /// hardly moves is not blown up into a drama.
    pub(super) fn fit<'a>(lines: impl IntoIterator<Item = &'a [Point]>) -> Option<Self> {
        let values = lines.into_iter().flatten().map(|(_, v)| *v).filter(|v| v.is_finite());
        let (min, max) =
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), v| (min.min(v), max.max(v)));
        if min > max {
            return None;
        }
        if min >= 0.0 && min <= 0.7 * max {
            return Some(Self { min: 0.0, max });
        }
        let least = (max.abs().max(min.abs()) * 0.02).max(f64::MIN_POSITIVE);
        let middle = min / 2.0 + max / 2.0;
        let half = (max / 2.0 - min / 2.0).max(least / 2.0);
        Some(Self { min: middle - half, max: middle + half })
    }

    /// Where a value lies, 0 at the bottom and 1 at the top.
    fn place(self, value: f64) -> f64 {
        // Halved, so that a scale over all of f64 stays finite.
        ((value / 2.0 - self.min / 2.0) / (self.max / 2.0 - self.min / 2.0)).clamp(0.0, 1.0)
    }
}

/// Path data of the line, and of the area below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// The line.
    pub(super) line: String,
    /// The area between the line and the bottom.
    pub(super) area: String,
}

/// Draws `points` on `canvas`.
pub(super) fn draw(points: &[Point], scale: Scale, canvas: Canvas) -> Shape {
    let mut shape = Shape::default();
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return shape };
    let length = last.0.saturating_sub(first.0);
    let span = length.max(1) as f64;
    let place = |point: Point| place(point, first.0, length, scale, canvas);
    for run in runs(points) {
        let places: Vec<(i32, i32)> = thin(run, span, canvas.stretches).into_iter().map(place).collect();
        add_run(&mut shape, &places, canvas);
    }
    shape
}

/// One point of a drawing from a time to another, as the path of a dot.
pub(super) fn dot(point: Point, (from, to): (i64, i64), scale: Scale, canvas: Canvas) -> String {
    let (x, y) = place(point, from, to.saturating_sub(from), scale, canvas);
    format!("M{x} {y}h0")
}

/// Where a point lies on a canvas that begins at a time and is so long.
fn place((at, value): Point, from: i64, span: i64, scale: Scale, canvas: Canvas) -> (i32, i32) {
    // Half of a thick line's width stays inside.
    let margin = 3.0;
    let share = at.saturating_sub(from) as f64 / span.max(1) as f64;
    let x = share.clamp(0.0, 1.0) * f64::from(canvas.width);
    let y = margin + (1.0 - scale.place(value)) * (f64::from(canvas.height) - 2.0 * margin);
    (round(x), round(y))
}

/// The rate per second between neighbouring points of a value that only goes up. A value that fell
/// started again at zero.
pub(super) fn rate(points: &[Point]) -> Vec<Point> {
    let pairs = points.windows(2).filter(|pair| pair[1].0 > pair[0].0);
    pairs
        .map(|pair| {
            let ((t0, v0), (t1, v1)) = (pair[0], pair[1]);
            let grown = if v1 < v0 { v1 } else { v1 - v0 };
            (t1, grown * 1000.0 / t1.saturating_sub(t0) as f64)
        })
        .collect()
}

/// Appends one uninterrupted run of places to the paths.
fn add_run(shape: &mut Shape, places: &[(i32, i32)], canvas: Canvas) {
    let Some(first) = places.first() else { return };
    // Writing to a String cannot fail.
    let _ = write!(shape.line, "M{} {}", first.0, first.1);
    if places.len() == 1 {
        // A line of no length with round ends is a dot.
        shape.line.push_str("h0");
        return;
    }
    let mut steps = String::new();
    let mut level = 0;
    for (i, pair) in places.windows(2).enumerate() {
        let (dx, dy) = (pair[1].0 - pair[0].0, pair[1].1 - pair[0].1);
        // What stays level is one step, however many points it has.
        if dy == 0 && places.get(i + 2).is_some_and(|next| next.1 == pair[1].1) {
            level += dx;
            continue;
        }
        let command = if steps.is_empty() { "l" } else { " " };
        let space = if dy < 0 { "" } else { " " };
        let _ = write!(steps, "{command}{}{space}{dy}", dx + std::mem::take(&mut level));
    }
    shape.line.push_str(&steps);
    let _ = write!(shape.area, "M{} {}V{}{steps}V{}Z", first.0, canvas.height, first.1, canvas.height);
}

/// The points of a large chart in columns, as the page's script takes them: a start in milliseconds
/// since the epoch, milliseconds since that start, values. They are thinned, rounded to what can be
/// seen, and there is a `None` in each gap.
pub(super) type Columns = (i64, Vec<i64>, Vec<Option<f64>>);

/// Turns points into columns.
pub(super) fn columns(points: &[Point]) -> Columns {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Columns::default() };
    let start = first.0;
    let span = last.0.saturating_sub(start).max(1) as f64;
    let (mut times, mut values) = (Vec::new(), Vec::new());
    for run in runs(points) {
        if !times.is_empty() {
            times.push(run[0].0.saturating_sub(start).saturating_sub(1));
            values.push(None);
        }
        for (at, value) in thin(run, span, LARGE) {
            times.push(at.saturating_sub(start));
            values.push(Some(rounded(value)));
        }
    }
    (start, times, values)
}

/// Six digits of a value: more than a chart can show.
fn rounded(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

/// Uninterrupted runs of finite points.
fn runs(points: &[Point]) -> impl Iterator<Item = &[Point]> {
    let longest = usual_step(points).saturating_mul(GAP);
    points
        .chunk_by(move |a, b| a.1.is_finite() && b.1.is_finite() && b.0.saturating_sub(a.0) <= longest)
        .filter(|run| run[0].1.is_finite())
}

/// The median step in time.
fn usual_step(points: &[Point]) -> i64 {
    let mut steps: Vec<i64> = points.windows(2).map(|pair| pair[1].0.saturating_sub(pair[0].0)).collect();
    steps.sort_unstable();
    steps.get(steps.len() / 2).copied().unwrap_or(i64::MAX / GAP).max(1)
}

/// The least and the greatest point of each stretch of time, where there are many points. `span` is
/// the length of the whole line in milliseconds.
fn thin(run: &[Point], span: f64, stretches: usize) -> Vec<Point> {
    if run.len() <= 2 * stretches {
        return run.to_vec();
    }
    let start = run[0].0;
    let stretch = |point: &Point| {
        let share = point.0.saturating_sub(start) as f64 / span;
        round(share * stretches as f64)
    };
    let mut out = Vec::with_capacity(2 * stretches + 2);
    for group in run.chunk_by(|a, b| stretch(a) == stretch(b)) {
        let least = group.iter().min_by(|a, b| a.1.total_cmp(&b.1));
        let greatest = group.iter().max_by(|a, b| a.1.total_cmp(&b.1));
        if let (Some(least), Some(greatest)) = (least, greatest) {
            let (earlier, later) = if least.0 <= greatest.0 { (least, greatest) } else { (greatest, least) };
            out.push(*earlier);
            if later != earlier {
                out.push(*later);
            }
        }
    }
    out
}

#[allow(clippy::cast_possible_truncation)] // a cast of a float saturates
fn round(value: f64) -> i32 {
    value.round() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANVAS: Canvas = Canvas { width: 100, height: 26, stretches: 60 };

    fn line(points: &[Point]) -> String {
        draw(points, Scale::fit([points]).unwrap_or(Scale::up_to(1.0)), CANVAS).line
    }

    #[test]
    fn points_are_placed_from_corner_to_corner() {
        let shape = draw(&[(0, 0.0), (500, 5.0), (1000, 10.0)], Scale::up_to(10.0), CANVAS);
        assert_eq!(shape.line, "M0 23l50-10 50-10");
        assert_eq!(shape.area, "M0 26V23l50-10 50-10V26Z");
    }

    #[test]
    fn nothing_is_no_line_and_one_point_is_a_dot() {
        assert_eq!(line(&[]), "");
        assert_eq!(line(&[(5, 1.0)]), "M0 13h0");
    }

    #[test]
    fn a_constant_lies_in_the_middle() {
        assert_eq!(line(&[(0, 7.0), (10, 7.0)]), "M0 13l100 0");
    }

    #[test]
    fn what_stays_level_is_one_step() {
        let points: Vec<Point> = (0..=100).map(|t| (t, if t < 50 { 1.0 } else { 2.0 })).collect();
        assert_eq!(line(&points), "M0 13l49 0 1-10 50 0");
    }

    #[test]
    fn a_zero_stays_at_the_bottom_of_a_scale_that_is_given() {
        assert_eq!(draw(&[(0, 0.0), (10, 0.0)], Scale::up_to(100.0), CANVAS).line, "M0 23l100 0");
    }

    #[test]
    fn gaps_in_time_and_missing_values_interrupt_the_line() {
        let late: Vec<Point> = [0, 10, 20, 30, 500, 510].map(|t| (t, 1.0)).into();
        assert_eq!(line(&late).matches('M').count(), 2);
        let missing = [(0, 1.0), (10, 2.0), (20, f64::NAN), (30, 1.0), (40, 2.0)];
        assert_eq!(line(&missing).matches('M').count(), 2);
        assert_eq!(line(&[(0, f64::NAN), (1, f64::INFINITY)]), "");
    }

    #[test]
    fn a_spike_among_many_points_is_kept_and_the_path_stays_short() {
        let mut points: Vec<Point> = (0..10_000).map(|t| (t, 1.0)).collect();
        points[4321].1 = 100.0;
        let line = line(&points);
        assert!(line.len() < 1000, "{}", line.len());
        assert!(line.contains("-20"), "{line}");
    }

    #[test]
    fn columns_hold_nothing_in_a_gap() {
        let points = [(0, 1.0), (1000, 2.0), (2000, f64::NAN), (3000, 3.0), (4000, 4.0)];
        let columns = columns(&points);
        assert_eq!(columns.1, [0, 1000, 2999, 3000, 4000]);
        assert_eq!(columns.2, [Some(1.0), Some(2.0), None, Some(3.0), Some(4.0)]);
    }

    #[test]
    fn columns_hold_as_many_digits_as_can_be_seen() {
        let points = [(1_763_980_200_000, 123.456_789), (1_763_980_210_000, -1.0e-300)];
        assert_eq!(
            columns(&points),
            (1_763_980_200_000, vec![0, 10_000], vec![Some(123.457), Some(-1.0e-300)])
        );
    }

    #[test]
    fn extreme_values_stay_on_the_canvas() {
        let points = [(-1 << 60, f64::MIN), (0, 0.0), (1 << 60, f64::MAX)];
        assert_eq!(line(&points), "M0 23l50-10 50-10");
    }

    #[test]
    fn a_rate_is_per_second_and_survives_a_restart() {
        let points = [(0, 10.0), (10_000, 30.0), (20_000, 5.0), (20_000, 6.0)];
        assert_eq!(rate(&points), [(10_000, 2.0), (20_000, 0.5)]);
    }
}
