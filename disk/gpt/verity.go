package gpt

import "github.com/osbuildkit/osbuildkit/disk"

// verityTypes maps the types of partitions with a root or /usr to those of their
// hash trees, from the Discoverable Partitions Specification.
var verityTypes = map[disk.UUID]disk.UUID{
	must("44479540-f297-41b2-9af7-d131d5f0458a"): must("d13c5d3b-b5d1-422a-b29f-9454fdc89d76"), // root, x86
	must("4f68bce3-e8cd-4db1-96e7-fbcaf984b709"): must("2c7357ed-ebd2-46d9-aec1-23d437ec2bf5"), // root, x86-64
	must("69dad710-2ce4-4e3c-b16c-21a1d49abed3"): must("7386cdf2-203c-47a9-a498-f2ecce45a2d6"), // root, ARM
	must("b921b045-1df0-41c3-af44-4c6f280d3fae"): must("df3300ce-d69f-4c92-978c-9bfb0f38d820"), // root, ARM64
	must("72ec70a6-cf74-40e6-bd49-4bda08e8f224"): must("b6ed5582-440b-4209-b8da-5ff7c419ea3d"), // root, RISC-V 64
	must("5eead9a9-fe09-4a1e-a1d7-520d00531306"): must("b325bfbe-c7be-4ab8-8357-139e652d2f6b"), // root, s390x
	must("c31c45e6-3f39-412e-80fb-4809c4980599"): must("906bd944-4589-4aae-a4e4-dd983917446a"), // root, ppc64le
	must("75250d76-8cc6-458e-bd66-bd47cc81a812"): must("8f461b0d-14ee-4e81-9aa9-049b6fb97abd"), // usr, x86
	must("8484680c-9521-48c6-9c11-b0720656f69e"): must("77ff5f63-e7b6-4633-acf4-1565b864c0e6"), // usr, x86-64
	must("b0e01050-ee5f-4390-949a-9101b17104e9"): must("6e11a4e7-fbca-4ded-b9e9-e1a512bb664e"), // usr, ARM64
}

// VerityType returns the type of the partition with the hash tree for a
// partition of the given type, if that is one for which systemd looks for both.
func VerityType(data disk.UUID) (disk.UUID, bool) {
	t, ok := verityTypes[data]
	return t, ok
}
