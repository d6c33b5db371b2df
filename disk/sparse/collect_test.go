package sparse

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

const testBlock = 64 << 10

// pieces cuts a disk into pieces of whole sectors in an order of its own.
func pieces(r *rand.Rand, size int64) [][2]int64 {
	var out [][2]int64
	for at := int64(0); at < size; {
		n := min(int64(1+r.IntN(300))*sector, size-at)
		out = append(out, [2]int64{at, at + n})
		at += n
	}
	r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// collect puts a disk together and returns it with the order of its blocks.
func collect(t *testing.T, disk []byte, workers int, list [][2]int64) (got []byte, order []int64) {
	t.Helper()
	got = make([]byte, (len(disk)+testBlock-1)/testBlock*testBlock)
	dir := t.TempDir()
	c, err := Collect(t.Context(), int64(len(disk)), Work{Block: testBlock, Workers: workers}, dir, func(index int64, raw, _ []byte) error {
		order = append(order, index)
		copy(got[index*testBlock:], raw)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list {
		if n, err := c.WriteAt(disk[p[0]:p[1]], p[0]); err != nil || int64(n) != p[1]-p[0] {
			t.Fatal(n, err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("%s is left over", left[0].Name())
	}
	return got[:len(disk)], order
}

// TestCollect writes a disk in pieces that leave holes, so that some blocks are
// complete early, some at the end, and more are open than may be in memory.
func TestCollect(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	disk := make([]byte, 2*maxOpen+7*sector)
	for at := range len(disk) / sector {
		disk[at*sector+at%sector] = byte(at | 1)
	}
	var list [][2]int64
	for _, p := range pieces(r, int64(len(disk))) {
		switch {
		case p[0] > maxOpen && p[0] < maxOpen+5*testBlock:
			clear(disk[p[0]:p[1]]) // zeros that are written
			list = append(list, p)
		case p[0]%13 == 0:
			clear(disk[p[0]:p[1]]) // and some that are not
		default:
			list = append(list, p)
		}
	}
	var first []int64
	for _, workers := range []int{1, 3} {
		got, order := collect(t, disk, workers, list)
		if !bytes.Equal(got, disk) {
			t.Error("the disk reads differently")
		}
		if first == nil {
			first = order
		}
		if len(order) != len(first) {
			t.Errorf("%d blocks with %d workers, and %d with one", len(order), workers, len(first))
		}
		for i := range order {
			if order[i] != first[i] {
				t.Fatalf("block %d comes at another time with %d workers", order[i], workers)
			}
		}
	}
}

// TestCollectEarly sees blocks as soon as they are complete.
func TestCollectEarly(t *testing.T) {
	t.Parallel()
	seen := make(chan int64, 10)
	c, err := Collect(t.Context(), 3*testBlock, Work{Block: testBlock}, t.TempDir(), func(index int64, _, _ []byte) error {
		seen <- index
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	write := func(at, n int64) error {
		_, err := c.WriteAt(bytes.Repeat([]byte{1}, int(n)), at)
		return err
	}
	// The end of one block, and a block in two halves of which one byte is
	// not whole a sector.
	if err := errors.Join(write(testBlock/2, testBlock/2), write(testBlock, testBlock/2-100), write(testBlock+testBlock/2, testBlock/2)); err != nil {
		t.Fatal(err)
	}
	if got := <-seen; got != 1 {
		t.Errorf("block %d is complete first", got)
	}
	if err := write(testBlock+5, 1); !errors.Is(err, errTwice) {
		t.Errorf("written again: %v", err)
	}
	if err := write(3*testBlock-1, 2); err == nil || !strings.Contains(err.Error(), "outside") {
		t.Errorf("behind the end: %v", err)
	}
	if err := c.Close(); err != nil || <-seen != 0 {
		t.Errorf("at the end: %v", err)
	}
}

func TestCollectFails(t *testing.T) {
	t.Parallel()
	full := errors.New("full")
	c, err := Collect(t.Context(), 100*testBlock, Work{Block: testBlock}, t.TempDir(), func(int64, []byte, []byte) error { return full })
	if err != nil {
		t.Fatal(err)
	}
	data := bytes.Repeat([]byte{1}, testBlock)
	for i := range int64(100) {
		if _, err = c.WriteAt(data, i*testBlock); err != nil {
			break
		}
	}
	if !errors.Is(err, full) || !errors.Is(c.Close(), full) {
		t.Errorf("the error is %v", err)
	}
	c, err = Collect(t.Context(), testBlock, Work{Block: testBlock}, t.TempDir(), func(int64, []byte, []byte) error { return full })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.WriteAt(data[:5], 0); err != nil || !errors.Is(c.Close(), full) {
		t.Errorf("at the end: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	c, err = Collect(ctx, testBlock, Work{Block: testBlock}, t.TempDir(), func(int64, []byte, []byte) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := c.WriteAt(data, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
	c.Stop()
	c.Stop()
}
