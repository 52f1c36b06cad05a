package stage

// Environment is what the rotate function is deployed with.
var Environment = environment
