//! The root that machines start from, as a folder.

use std::path::Path;
use std::sync::Arc;

use crate::error::Result;
use crate::requirements;
use crate::whole::recipe::Recipe;
use crate::whole::shelf::Kept;

/// A root that is there for as long as this is.
#[derive(Debug, Clone)]
pub struct Root(Arc<Kept>);

impl Root {
    /// The root, made now if there is none of today's recipe.
    pub fn ready() -> Result<Self> {
        Self::of("root", &Recipe::shared_kernel())
    }

    /// A root without Docker. Machines that start from it can install it with apt, as where there is a network.
    pub fn without_docker() -> Result<Self> {
        Self::of("root-without-docker", &Recipe::without_docker())
    }

    fn of(kind: &str, recipe: &Recipe) -> Result<Self> {
        requirements::meet_for_machines()?;
        Ok(Self(Arc::new(Kept::get(kind, &recipe.name(), |path| recipe.make(path))?)))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}
