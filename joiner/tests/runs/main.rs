//! Runs of the joiner against a fake broker and a fake engine: what the real ones do rarely, made to happen.

mod boot;
mod fake;
mod leave;
mod machines;
