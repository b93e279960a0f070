package pgtest

import (
	"fmt"
	"os/exec"
	"strconv"
	"syscall"
)

// LimitFiles lets no file of the server's grow beyond a number of bytes, which is a full
// disk to what it writes; "unlimited" takes that back. It must leave room for the
// write-ahead log, whose files have 16 MB.
func (s *Server) LimitFiles(bytes string) error {
	for _, pid := range append(children(s.process.Process.Pid), s.process.Process.Pid) {
		// As the server's own user, who may do it without a capability.
		command := exec.Command("prlimit", "--pid", strconv.Itoa(pid), "--fsize="+bytes+":")
		command.Dir = s.folder
		command.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner}
		if output, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("prlimit: %w\n%s", err, output)
		}
	}
	return nil
}
