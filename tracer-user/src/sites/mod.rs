//! Where to probe a C function, and where its arguments are there.
