//! How time, processor time and memory grow with the number of tokens, as SVG.

use anyhow::{Context as _, Result};
use plotters::prelude::*;

use super::figures::{Figures, Run, alike, count};

const SIZE: (u32, u32) = (1200, 400);

/// One line of a chart: what it shows of a run.
struct Measure {
    title: &'static str,
    of: fn(&Run) -> f64,
}

const MEASURES: [Measure; 3] = [
    Measure { title: "seconds until all are Ready", of: |run| run.wall },
    Measure { title: "seconds of CPU", of: |run| run.cpu },
    Measure { title: "peak memory, MiB", of: |run| run.peak_mib },
];

/// The bursts over a hundred shops; `None` without two of these.
pub(super) fn svg(all: &[Figures]) -> Result<Option<String>> {
    let bursts: Vec<&Figures> = alike(all).collect();
    if bursts.len() < 2 {
        return Ok(None);
    }
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        for (area, measure) in root.split_evenly((1, MEASURES.len())).iter().zip(&MEASURES) {
            draw(area, measure, &bursts).context("the plot can't be drawn")?;
        }
        root.present()?;
    }
    Ok(Some(text))
}

fn draw(area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>, measure: &Measure, all: &[&Figures]) -> Result<()> {
    let line = |of: &dyn Fn(&Figures) -> Option<f64>| -> Vec<(f64, f64)> {
        all.iter().filter_map(|figures| Some((count(figures.tokens), of(figures)?.max(0.001)))).collect()
    };
    let operator = line(&|figures| Some((measure.of)(&figures.operator)));
    let floor = line(&|figures| figures.floor.as_ref().map(measure.of));
    let both = || operator.iter().chain(&floor);
    let most = |value: fn(&(f64, f64)) -> f64| both().map(value).fold(f64::MIN, f64::max) * 1.2;
    let least = |value: fn(&(f64, f64)) -> f64| both().map(value).fold(f64::MAX, f64::min) / 1.2;
    let (x, y) = (|point: &(f64, f64)| point.0, |point: &(f64, f64)| point.1);
    let mut chart = ChartBuilder::on(area)
        .caption(measure.title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(32)
        .y_label_area_size(56)
        .build_cartesian_2d((least(x)..most(x)).log_scale(), (least(y)..most(y)).log_scale())?;
    chart.configure_mesh().x_desc("tokens").draw()?;
    for (name, points, colour) in [("operator", operator, BLUE), ("floor", floor, BLACK)] {
        chart
            .draw_series(LineSeries::new(points, &colour).point_size(3))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
    }
    chart.configure_series_labels().border_style(BLACK).background_style(WHITE).draw()?;
    Ok(())
}
