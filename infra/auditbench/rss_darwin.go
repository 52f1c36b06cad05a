package main

// maxrssUnit is what macOS counts a process's memory in.
const maxrssUnit = 1
