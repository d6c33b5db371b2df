// Package usernet gives each step of a build a network of its own: a network
// namespace with one interface, whose packets a TCP/IP stack in this process takes
// and passes on as connections of this process. It needs no root, no program and
// no rules of a firewall, and works in a user namespace as well.
//
// A step reaches what this machine reaches, but nothing of the machine itself: not
// its loopback, not its other addresses, not what answers on link-local addresses
// and the metadata services of clouds. Names are resolved by this machine's
// resolvers, also where these listen on loopback.
package usernet
