"""What `import benchmarks as cb` offers to programs and notebooks; each name is imported when it is used first."""
