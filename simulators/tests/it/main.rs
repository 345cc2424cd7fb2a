//! What needs several programs at once, and what concerns the tree as a whole.
#![cfg(test)]

mod browser;
mod demo;
mod load;
mod load_program;
mod operations;
mod tidy;
mod world;
