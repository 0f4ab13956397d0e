//! Numbered programs, to be read in order: see the `examples` folder of this package.
