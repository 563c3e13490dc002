//! What stands in the certificates that the authority makes, read by a parser that is not the maker's, and what the
//! authority takes from requests, files and statements.

mod certificates;
mod files;
mod parts;
mod requests;
mod statements;
