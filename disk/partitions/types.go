package partitions

// ESP is the partition type of the EFI system partition.
const ESP = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"

// typeNames are the names of partition types that images have, from the UEFI
// specification and the Discoverable Partitions Specification.
var typeNames = map[string]string{
	ESP:                                    "EFI system",
	"21686148-6449-6e6f-744e-656564454649": "BIOS boot",
	"0fc63daf-8483-4772-8e79-3d69d8477de4": "Linux",
	"0657fd6d-a4ab-43c4-84e5-0933c84b4f4f": "Linux swap",
	"e6d6d379-f507-44c2-a23c-238f2a3df928": "Linux LVM",
	"a19d880f-05fc-4d3b-a006-743f0f84911e": "Linux RAID",
	"bc13c2ff-59e6-4262-a352-b275fd6f7172": "Linux extended boot",
	"933ac7e1-2eb4-4f13-b844-0e14e2aef915": "Linux home",
	"3b8f8425-20e0-4f3b-907f-1a25a76f98e8": "Linux srv",
	"4d21b016-b534-45c2-a9fb-5c16e091fd2d": "Linux var",
	"7ec6f557-3bc5-4aca-b293-16ef5df639d1": "Linux tmp",
	"ca7d7ccb-63ed-4c53-861c-1742536059cc": "LUKS",
	"44479540-f297-41b2-9af7-d131d5f0458a": "Linux root (x86)",
	rootX86:                                "Linux root (x86-64)",
	rootARM64:                              "Linux root (ARM64)",
	"72ec70a6-cf74-40e6-bd49-4bda08e8f224": "Linux root (RISC-V 64)",
	"5eead9a9-fe09-4a1e-a1d7-520d00531306": "Linux root (s390x)",
	"c31c45e6-3f39-412e-80fb-4809c4980599": "Linux root (ppc64le)",
	"8484680c-9521-48c6-9c11-b0720656f69e": "Linux usr (x86-64)",
	"b0e01050-ee5f-4390-949a-9101b17104e9": "Linux usr (ARM64)",
	"2c7357ed-ebd2-46d9-aec1-23d437ec2bf5": "Linux root verity (x86-64)",
	"df3300ce-d69f-4c92-978c-9bfb0f38d820": "Linux root verity (ARM64)",
	"77ff5f63-e7b6-4633-acf4-1565b864c0e6": "Linux usr verity (x86-64)",
	"9e1a2d38-c612-4316-aa26-8b49521e5a8b": "PReP boot",
	"ebd0a0a2-b9e5-4433-87c0-68b6b72699c7": "Microsoft basic data",
	"05":                                   "extended",
	"06":                                   "FAT16",
	"07":                                   "NTFS or exFAT",
	"0b":                                   "FAT32",
	"0c":                                   "FAT32 (LBA)",
	"0e":                                   "FAT16 (LBA)",
	"0f":                                   "extended (LBA)",
	"41":                                   "PReP boot",
	"82":                                   "Linux swap",
	"83":                                   "Linux",
	"85":                                   "Linux extended",
	"8e":                                   "Linux LVM",
	"ee":                                   "GPT protective",
	espDOS:                                 "EFI system",
	"fd":                                   "Linux RAID",
}

const (
	espDOS    = "ef"
	rootX86   = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"
	rootARM64 = "b921b045-1df0-41c3-af44-4c6f280d3fae"
)

// TypeName is the name of the partition's type, or the type itself if it is
// not known.
func (p *Partition) TypeName() string {
	if n := typeNames[p.Type]; n != "" {
		return n
	}
	return p.Type
}

// IsESP tells whether UEFI firmware looks for boot loaders in the partition.
func (p *Partition) IsESP() bool { return p.Type == ESP || p.Type == espDOS }

// ESP returns the first EFI system partition, nil if there is none.
func (t *Table) ESP() *Partition {
	for i := range t.Partitions {
		if t.Partitions[i].IsESP() {
			return &t.Partitions[i]
		}
	}
	return nil
}

// Architecture returns amd64 or arm64 if the type of a root partition says so,
// else the empty string.
func (t *Table) Architecture() string {
	for _, p := range t.Partitions {
		switch p.Type {
		case rootX86:
			return "amd64"
		case rootARM64:
			return "arm64"
		}
	}
	return ""
}
