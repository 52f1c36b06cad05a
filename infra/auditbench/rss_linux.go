package main

// maxrssUnit is what Linux counts a process's memory in.
const maxrssUnit = 1024
