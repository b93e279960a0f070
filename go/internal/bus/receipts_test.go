package bus

import "testing"

func TestReceiptsThatAreGivenAreTakenOnceAndEmpty(t *testing.T) {
	given := make([]Receipt, 3)
	given[0].Ticket, given[2].Ticket = 7, 8
	thread := &Thread{Receipts: given}
	taken := thread.TakeReceipts(2)
	if len(taken) != 2 || &taken[0] != &given[0] || taken[0].Ticket != 0 || taken[1].Ticket != 0 {
		t.Errorf("took %v", taken)
	}
	if again := thread.TakeReceipts(2); len(again) != 2 || &again[0] == &given[0] {
		t.Error("they were taken twice")
	}
	thread.Receipts = given
	if more := thread.TakeReceipts(4); len(more) != 4 || &more[0] == &given[0] {
		t.Error("four receipts found room for three")
	}
}
