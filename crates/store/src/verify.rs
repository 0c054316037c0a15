//! Verification: hashes everything again and names what is not as it should be.
//!
//! It changes nothing, and may run while others write: what is being written has no name yet.

use std::fmt;
use std::path::Path;

use fs_err as fs;
use serde::Serialize;

use crate::artifact::{examine, foreign_files};
use crate::manifest::{Flaw, Why};
use crate::{ArtifactId, Error, Result, RunDirectory, StepKey, Store, disk};

/// In which way something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemKind {
    /// Its content is not what it was when written.
    Damaged,
    /// It should be there and is not.
    Missing,
    /// Nobody knows what it is; left alone and never used.
    Foreign,
    /// A newer owlet wrote it.
    Newer,
    /// It cannot be read.
    Unreadable,
    /// A step is on record but its output is missing or damaged; it is made again on request.
    OutputGone,
}

/// One thing that is wrong in a workspace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// Where, relative to the workspace, `/`-separated.
    pub path: String,
    /// In which way.
    pub kind: ProblemKind,
    /// What exactly, to be read after the path.
    pub why: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}` {}", self.path, self.why)
    }
}

/// What was verified and what is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// Artifacts looked at.
    pub artifacts: usize,
    /// Bytes of sound artifacts' files.
    pub bytes: u64,
    /// Step records looked at.
    pub steps: usize,
    /// Runs looked at.
    pub runs: usize,
    /// Damaged things set aside earlier, in `damaged/`; they may be deleted.
    pub set_aside: usize,
    /// Artifacts whose files were removed on purpose.
    pub removed: usize,
    /// Runs that were removed on purpose; their records are looked at as those of others are.
    pub removed_runs: usize,
    /// What is wrong, sorted by path.
    pub problems: Vec<Problem>,
}

impl VerifyReport {
    /// Returns whether nothing at all is wrong.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// Returns whether nothing is wrong but files that do not belong here.
    pub fn is_sound(&self) -> bool {
        self.problems.iter().all(|problem| problem.kind == ProblemKind::Foreign)
    }

    fn add(&mut self, path: String, kind: ProblemKind, why: impl Into<String>) {
        self.problems.push(Problem { path, kind, why: why.into() });
    }
}

impl Store {
    /// Hashes every artifact again and reads every record.
    ///
    /// `progress` is called with how many artifacts, steps and runs are done and how many there are.
    ///
    /// # Errors
    /// Only when the workspace itself cannot be listed; everything else is in the report.
    pub fn verify(&self, progress: &mut dyn FnMut(usize, usize)) -> Result<VerifyReport> {
        let mut report = VerifyReport::default();
        // Steps are listed before artifacts: a step recorded meanwhile has its output already.
        let steps = self.step_keys()?;
        let artifacts = self.artifact_ids()?;
        let mut runs = self.runs()?;
        let removed_runs = self.removed_runs()?;
        report.removed_runs = removed_runs.len();
        runs.extend(removed_runs);
        let total = artifacts.len() + steps.len() + runs.len();
        let mut done = 0;
        let mut advance = || {
            done += 1;
            progress(done, total);
        };

        for path in self.foreign()? {
            report.add(path, ProblemKind::Foreign, "does not belong here");
        }
        let mut sound = Vec::new();
        for id in &artifacts {
            if self.verify_artifact(id, &mut report) {
                sound.push(*id);
            }
            advance();
        }
        for key in &steps {
            self.verify_step(key, &sound, &mut report);
            advance();
        }
        for run in &runs {
            self.verify_run(run, &mut report);
            advance();
        }
        report.runs -= report.removed_runs;
        report.removed = self.verify_removed(&mut report)?;
        report.set_aside = disk::names(&self.root().join("damaged"))?.len();
        report.problems.sort();
        Ok(report)
    }

    fn relative(&self, path: &Path) -> String {
        let path = path.strip_prefix(self.root()).unwrap_or(path);
        path.to_string_lossy().replace('\\', "/")
    }

    /// Hashes an artifact; returns whether it is sound.
    fn verify_artifact(&self, id: &ArtifactId, report: &mut VerifyReport) -> bool {
        let folder = self.artifact_folder(id);
        let base = self.relative(&folder);
        report.artifacts += 1;
        let (sound, flaws) = match examine(&folder, id) {
            // Set aside by another process since it was listed.
            Ok(None) => return false,
            Ok(Some(Ok(verified))) => {
                report.bytes = report.bytes.saturating_add(verified.artifact.size());
                (true, foreign_files(&verified.artifact))
            }
            Ok(Some(Err(flaws))) => (false, Ok(flaws)),
            Err(error) => (false, Err(error)),
        };
        let flaws = flaws.unwrap_or_else(|error| {
            report.add(base.clone(), ProblemKind::Unreadable, error.to_string());
            Vec::new()
        });
        for Flaw { file, why } in flaws {
            let path = format!("{base}/{file}");
            match why {
                Why::Newer(found) => {
                    let why =
                        format!("has manifest format {found}, which this build does not read");
                    report.add(base.clone(), ProblemKind::Newer, why);
                }
                Why::Missing => report.add(path, ProblemKind::Missing, "is missing"),
                Why::Changed(why) => report.add(path, ProblemKind::Damaged, why),
                Why::Foreign => {
                    report.add(path, ProblemKind::Foreign, "is not in the artifact's manifest");
                }
                Why::Unreadable(error) => {
                    report.add(path, ProblemKind::Unreadable, format!("cannot be read: {error}"));
                }
            }
        }
        sound
    }

    fn verify_step(&self, key: &StepKey, sound: &[ArtifactId], report: &mut VerifyReport) {
        let path = self.relative(&self.step_path(key));
        report.steps += 1;
        match self.read_step(key) {
            Ok(Some(Ok(record))) => {
                if sound.binary_search(&record.output).is_err()
                    && self.removed(&record.output).is_none()
                {
                    let why = format!(
                        "({}) made artifact {}, which is missing or damaged",
                        record.kind,
                        record.output.short()
                    );
                    report.add(path, ProblemKind::OutputGone, why);
                }
            }
            Ok(Some(Err(why))) => report.add(path, ProblemKind::Damaged, why),
            // Set aside by another process since it was listed.
            Ok(None) => {}
            Err(Error::Newer { found, .. }) => report.add(
                path,
                ProblemKind::Newer,
                format!("has record format {found}, which this build does not read"),
            ),
            Err(error) => report.add(path, ProblemKind::Unreadable, error.to_string()),
        }
    }

    /// Reads what is known of removed artifacts; returns how many there are.
    fn verify_removed(&self, report: &mut VerifyReport) -> Result<usize> {
        let ids = self.removed_ids()?;
        for id in &ids {
            let (kind, why) = match self.read_note(id) {
                Ok(None | Some(Ok(_))) => continue,
                Ok(Some(Err(why))) => (ProblemKind::Damaged, why),
                Err(Error::Newer { found, .. }) => {
                    let why = format!("has format {found}, which this build does not read");
                    (ProblemKind::Newer, why)
                }
                Err(error) => (ProblemKind::Unreadable, error.to_string()),
            };
            report.add(self.relative(&self.note_path(id)), kind, why);
        }
        Ok(ids.len())
    }

    fn verify_run(&self, run: &RunDirectory, report: &mut VerifyReport) {
        let path = self.relative(run.path());
        report.runs += 1;
        if !run.path().is_dir() {
            return report.add(path, ProblemKind::Foreign, "is not a folder");
        }
        let results = [run.header().map(drop), run.events().map(drop)];
        for error in results.into_iter().filter_map(Result::err) {
            let (kind, file, why) = match error {
                Error::Newer { path, found, .. } => {
                    let why = format!("has format {found}, which this build does not read");
                    (ProblemKind::Newer, path, why)
                }
                Error::DamagedRecord { path, why, .. } => (ProblemKind::Damaged, path, why),
                error => (ProblemKind::Unreadable, run.path().to_owned(), error.to_string()),
            };
            report.add(self.relative(&file), kind, why);
        }
        match run.examine() {
            Ok(flaws) => {
                for (file, changed, why) in flaws {
                    let kind = if changed { ProblemKind::Damaged } else { ProblemKind::Missing };
                    report.add(format!("{path}/{file}"), kind, why);
                }
            }
            // A header that cannot be read is named already.
            Err(_) if run.header().is_err() => {}
            Err(Error::DamagedRecord { path, why, .. }) => {
                report.add(self.relative(&path), ProblemKind::Damaged, why);
            }
            Err(error) => report.add(path.clone(), ProblemKind::Unreadable, error.to_string()),
        }
        if fs::symlink_metadata(run.path()).is_ok_and(|metadata| metadata.is_symlink()) {
            report.add(path, ProblemKind::Foreign, "is a link");
        }
    }
}
