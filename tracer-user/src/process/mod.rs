//! A process from outside: its memory, its mappings and the files behind them.
