//! The benchmark: what the operator costs, beside a client that makes only the calls nobody can spare.
//!
//! Every scenario has a control plane and a simulated Shopify of its own, and the floor is measured on the same ones of
//! its kind right before: what counts is the ratio, which holds on any machine.

mod contents;
mod count;
mod figures;
mod fit;
mod floor;
mod load;
mod meter;
mod percentiles;
mod plot;
mod ready;
mod scenarios;
mod table;
mod world;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use self::figures::Figures;
pub use self::floor::{Floor, serve as serve_floor};
use self::scenarios::Scenario;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// The operator's binary.
    pub operator: PathBuf,
    /// The directory for `bench.json`, `bench.md` and `bench.svg`.
    pub out: PathBuf,
    /// Small numbers, for a look within minutes.
    pub quick: bool,
    /// Only scenarios whose name contains this.
    pub only: Option<String>,
}

/// Runs the scenarios, tells of each as it ends, and leaves figures and plot behind. The text that sums them up.
pub async fn run(options: &Options, mut tell: impl FnMut(&str) -> Result<()>) -> Result<String> {
    fs::create_dir_all(&options.out).with_context(|| format!("cannot make {}", options.out.display()))?;
    let size = fs::metadata(&options.operator).map(|file| file.len()).unwrap_or_default();
    let mut all: Vec<Figures> = Vec::new();
    for scenario in Scenario::all(options.quick) {
        let name = scenario.name();
        if options.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        tell(&format!("{name} …"))?;
        let figures = scenario.run(&options.operator).await.with_context(|| format!("scenario {name}"))?;
        for figures in figures {
            tell(&figures.line())?;
            all.push(figures);
            // What was measured isn't lost should a later scenario fail.
            save(&options.out.join("bench.json"), &serde_json::to_string_pretty(&all)?)?;
        }
    }
    if let Some(plot) = plot::svg(&all)? {
        save(&options.out.join("bench.svg"), &plot)?;
    }
    let summary = table::summary(&all, size);
    save(&options.out.join("bench.md"), &summary)?;
    Ok(summary)
}

fn save(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
