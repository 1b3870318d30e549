//! Finds every C function reachable from `sys.modules` of a live process.
