//! Machine, broker and swarm node shake hands over a pipe in memory, and the answers of both sides are looked at.

mod brokers;
mod callers;
mod clocks;
mod cluster;
mod forgery;
mod generations;
mod identities;
mod nodes;
mod operators;
mod pipe;
mod records;
mod sessions;
mod swarm;
