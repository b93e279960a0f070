package protocol

// multipartWriter writes the body of Apollo's multipart protocol for subscriptions
// (subscriptionSpec=1.0). Each part is followed by the next one's boundary at once, since a
// client takes a part for complete when it sees that.
type multipartWriter struct{}

const partHead = "\r\nContent-Type: application/json\r\n\r\n"

func (multipartWriter) opening() string { return "\r\n--graphql" }

func (multipartWriter) idle() string { return partHead + "{}\r\n--graphql" }

func (w multipartWriter) result(dst []byte, _ string, payload []byte) []byte {
	dst = append(append(dst, partHead...), `{"payload":`...)
	return append(append(dst, payload...), "}\r\n--graphql"...)
}

// failed says what the operation itself got wrong as its only result, and what ends it
// later as an error of the transport, which clients do not take for a result.
func (w multipartWriter) failed(dst []byte, id string, errors []byte, begun bool) []byte {
	if !begun {
		return w.finished(w.result(dst, id, []byte(result(errors))), id)
	}
	dst = append(append(dst, partHead...), `{"payload":null,"errors":`...)
	return w.finished(append(append(dst, errors...), "}\r\n--graphql"...), id)
}

func (multipartWriter) finished(dst []byte, _ string) []byte { return append(dst, "--\r\n"...) }
