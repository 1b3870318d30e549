//! What a CPython process is made of: version, layout, known objects, names of types and code.
