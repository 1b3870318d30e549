//! Where events go: text for people, JSON for programs.
