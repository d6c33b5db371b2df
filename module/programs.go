package module

// GroupPrograms is the runner that starts modules of the user's own. It
// carries none of the built-in modules, so a change to one of those runs no
// step of a user's module again, and the other way round.
const GroupPrograms Group = "programs"
