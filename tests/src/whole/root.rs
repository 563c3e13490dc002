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
        requirements::meet_for_machines()?;
        let recipe = Recipe::shared_kernel();
        Ok(Self(Arc::new(Kept::get("root", &recipe.name(), |path| recipe.make(path))?)))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}
