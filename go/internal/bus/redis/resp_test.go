package redis

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/redis/go-redis/v9"
)

const answered = "*1\r\n*2\r\n$17\r\nfraiseql:events:a\r\n*2\r\n" +
	"*2\r\n$3\r\n1-2\r\n*2\r\n$4\r\ndata\r\n$46\r\n" + `{"event_type":"t","channel":"a","data":{"n":1}}`

// taken lets a tail take an answer, and returns of how many streams it was.
func taken(t *tail, answer *reply) (streams int, err error) {
	t.appendRead(nil, false, 0)
	found, err := t.take(answer)
	return len(found.moves), err
}

func TestAnswersThatAreCutOffOrWrongAreNotRead(t *testing.T) {
	document := `{"event_type":"t","channel":"a","data":{"n":1}}`
	good := fmt.Sprintf("*1\r\n*2\r\n$17\r\nfraiseql:events:a\r\n*2\r\n*2\r\n$3\r\n1-2\r\n*4\r\n$1\r\nx\r\n$1\r\ny\r\n$4\r\ndata\r\n$%d\r\n%s\r\n*2\r\n$3\r\n1-3\r\n*2\r\n$1\r\nx\r\n$0\r\n\r\n", len(document), document)
	r := following("a")
	if streams, err := taken(r, &reply{rest: []byte(good)}); err != nil || streams != 1 || names(r.kept) != "a 1-2, a 1-3" || string(r.kept[0].text) != document || r.kept[1].wrong == nil {
		t.Errorf("%d streams, %s, %v", streams, names(r.kept), err)
	}
	if !readEvents(r.kept) || r.kept[0].event == nil || r.kept[0].text != nil || r.kept[1].event != nil {
		t.Errorf("the events read are %v and %v", r.kept[0].event, r.kept[1].event)
	}
	for end := range len(good) {
		r := following("a")
		if _, err := taken(r, &reply{rest: []byte(good[:end])}); err == nil || len(r.kept) > 0 || !r.follows("a").last.isZero() {
			t.Fatalf("what ends at byte %d is read: %s, %v", end, names(r.kept), err)
		}
	}
	for _, wrong := range []string{
		"$1\r\nx\r\n", ":1\r\n", "*1\r\n*3\r\n", "*1\r\n*2\r\n$1\r\nx\r\n*0\r\n", "*-2\r\n", "*x\r\n", "*1\n", "\r\n", "*99999999999\r\n",
		strings.Replace(good, "1-2", "1_2", 1), strings.Replace(good, "*4", "*3", 1), strings.Replace(good, "$17", "$-1", 1), good + "*0\r\n",
		"*1\r\n*2\r\n$17\r\nfraiseql:events:b\r\n", "*2\r\n*2\r\n$17\r\nfraiseql:events:a\r\n*0\r\n", "*1\r\n-ERR no\r\n",
	} {
		r := following("a")
		if _, err := taken(r, &reply{rest: []byte(wrong)}); err == nil || len(r.kept) > 0 {
			t.Errorf("%q is read: %s", wrong, names(r.kept))
		}
		// What is wrong is noticed before the rest has come: it would be taken for the next answer.
		r = following("a")
		if _, err := taken(r, &reply{from: iotest.OneByteReader(strings.NewReader(wrong))}); wrong != good+"*0\r\n" && (err == nil || isReply(err)) {
			t.Errorf("%q is read byte by byte: %v", wrong, err)
		}
	}
	for _, none := range []string{"*-1\r\n", "*0\r\n", "*1\r\n*2\r\n$17\r\nfraiseql:events:a\r\n*0\r\n"} {
		if streams, err := taken(following("a"), &reply{rest: []byte(none)}); err != nil || streams != 0 {
			t.Errorf("%q: %d streams, %v", none, streams, err)
		}
	}
	var refused redis.Error
	if _, err := taken(following("a"), &reply{rest: []byte("-NOPERM no\r\n")}); !errors.As(err, &refused) || err.Error() != "NOPERM no" {
		t.Errorf("an error is read as %v", err)
	}
}

func TestAnswersAreReadAsTheyCome(t *testing.T) {
	long := strings.Repeat("x", 3*leastRoom)
	answers := fmt.Sprintf("$-1\r\n$%d\r\n%s\r\n-ERR no\r\n:-7\r\n*2\r\n$1\r\na\r\n$0\r\n\r\n$2\r\nb", len(long), long)
	for name, from := range map[string]io.Reader{"byte by byte": iotest.OneByteReader(strings.NewReader(answers)), "at once": strings.NewReader(answers)} {
		r := reply{from: from}
		if r.refusal() != nil || r.optional() != nil || r.bad != nil {
			t.Errorf("%s: nothing is read as %v", name, r.bad)
		}
		text := r.text()
		if err := r.refusal(); err == nil || err.Error() != "ERR no" || !isReply(err) {
			t.Errorf("%s: an error is read as %v", name, err)
		}
		if n := r.number(); n != -7 || !r.counted(2) || string(r.text()) != "a" || string(r.text()) != "" || r.bad != nil {
			t.Errorf("%s: after an error %d and %v are read", name, n, r.bad)
		}
		if string(text) != long {
			t.Errorf("%s: a text is not what it was before more was read", name)
		}
		if r.text() != nil || !errors.Is(r.bad, io.EOF) || r.received != len(answers) {
			t.Errorf("%s: %d bytes were received, the end is read as %v", name, r.received, r.bad)
		}
	}
}

func TestAShortLengthIsReadAsAnyOther(t *testing.T) {
	const behind = "\r\n$1\r\nx\r\n"
	for _, line := range []string{"$0", "$1", "$12345", "$123456", "$1234567", "$99999999999", "$-1", "$-2", "$", "$+1", "$1 ", "$1x", "*1", "$1\r", "$1\n\r"} {
		for end := range len(line + behind) {
			fast, slow := reply{rest: []byte((line + behind)[:end+1])}, reply{from: iotest.OneByteReader(strings.NewReader((line + behind)[:end+1]))}
			n, want := fast.length('$'), slow.length('$')
			if n != want || (fast.bad == nil) != (slow.bad == nil) {
				t.Errorf("%q is read as %d, %v, and byte by byte as %d, %v", (line + behind)[:end+1], n, fast.bad, want, slow.bad)
			}
			if fast.bad == nil && !strings.HasPrefix(line+behind, line+"\r\n"+string(fast.rest)) {
				t.Errorf("behind %q, %q is left", line, fast.rest)
			}
		}
	}
}

func TestAStreamsExtentIsReadAmidWhatElseIsTold(t *testing.T) {
	const text = "*12\r\n$6\r\nlength\r\n:3\r\n$17\r\nlast-generated-id\r\n$3\r\n5-2\r\n" +
		"$13\r\nentries-added\r\n:9\r\n$23\r\nrecorded-first-entry-id\r\n$3\r\n4-0\r\n" +
		"$11\r\nfirst-entry\r\n*2\r\n$3\r\n4-0\r\n*2\r\n$1\r\nx\r\n$-1\r\n" +
		"$10\r\nlast-entry\r\n*2\r\n$3\r\n5-1\r\n*2\r\n$1\r\nx\r\n$1\r\ny\r\n"
	r := reply{rest: []byte(text)}
	want := extent{added: 9, length: 3, first: streamID{ms: 4}, newest: streamID{5, 1}, last: streamID{5, 2}}
	if got := r.extent(); got != want || r.bad != nil || len(r.rest) > 0 {
		t.Errorf("%v, %v, %q is left", got, r.bad, r.rest)
	}
	r = reply{rest: []byte("*4\r\n$6\r\nlength\r\n:0\r\n$10\r\nlast-entry\r\n$-1\r\n")}
	if got := r.extent(); got != (extent{}) || r.bad != nil || len(r.rest) > 0 {
		t.Errorf("of an empty stream %v, %v, %q is left", got, r.bad, r.rest)
	}
	for end := range len(text) {
		r := reply{rest: []byte(text[:end])}
		if r.extent(); r.bad == nil {
			t.Errorf("what ends at byte %d is read", end)
		}
	}
	for _, endless := range []string{"*2000000000\r\n:1\r\n", "*2\r\n$1\r\nx\r\n*2000000000\r\n*-1\r\n"} {
		r := reply{rest: []byte(endless)}
		if r.extent(); r.bad == nil {
			t.Errorf("%q is read", endless)
		}
	}
}

func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{answered, "*-1\r\n", "-ERR x\r\n", "*1\r\n*2\r\n$17\r\nfraiseql:events:a\r\n*0\r\n", "*1\r\n*2\r\n$1\r\nx\r\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r := following("a")
		if streams, err := taken(r, &reply{rest: []byte(text)}); err != nil && (streams != 0 || len(r.kept) > 0) {
			t.Fatalf("%d streams, %d entries and %v", streams, len(r.kept), err)
		}
		readEvents(r.kept)
	})
}
