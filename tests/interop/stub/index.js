// Stands in for a package that the client takes from a git repository. Nothing that is checked here sends messages, so
// only what is imported by name has to be there.
module.exports = {};
