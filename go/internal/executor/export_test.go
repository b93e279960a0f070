package executor

import "fmt"

// Remains says what is left in the tables of an executor without subscriptions.
func (x *Executor) Remains() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	sizes := []int{
		len(x.subscriptions), len(x.clients), len(x.connections), len(x.specs), len(x.operations),
		len(x.operationUses), len(x.answers), len(x.cohorts), len(x.pending.answers),
	}
	for _, size := range sizes {
		if size > 0 {
			return fmt.Sprint(sizes)
		}
	}
	return ""
}
