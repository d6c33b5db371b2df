package ledger

// Tags of the entries of an access control list in the form of the system
// calls, which is the one in a ledger, from linux/posix_acl.h.
const (
	// ACLUserObj is the entry of the file's owner.
	ACLUserObj = 0x01
	// ACLUser is the entry of a user.
	ACLUser = 0x02
	// ACLGroupObj is the entry of the file's group.
	ACLGroupObj = 0x04
	// ACLGroup is the entry of a group.
	ACLGroup = 0x08
	// ACLMask bounds what users and groups get.
	ACLMask = 0x10
	// ACLOther is the entry of everybody else.
	ACLOther = 0x20
)
