/* The C side of the bridge: the GIL, references, and the calls. It decides
 * nothing. Unless a comment says otherwise the caller holds the GIL and a
 * PyObject* parameter is borrowed. */
#ifndef FRAISEQL_SUBSCRIPTIONS_BRIDGE_H
#define FRAISEQL_SUBSCRIPTIONS_BRIDGE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

#ifdef Py_GIL_DISABLED
#error "fraiseql-subscriptions needs a CPython with the GIL"
#endif

/* One resolver call. The texts lie in one buffer; a length of -1 means None. */
typedef struct {
	int64_t resolver, ticket;
	int64_t variables_at, variables_length;
	int64_t info_at, info_length;
} fsq_call;

/* What a call gave. value is the address of its bytes, borrowed from the list that
 * fsq_resolve returned. */
typedef struct {
	int64_t kind, length;
	uintptr_t value;
} fsq_result;

/* The event_type, channel, correlation_id and event_id of an event: the addresses of their UTF-8,
 * borrowed. (With pointers, Go would look through all of them before each call.) */
typedef struct {
	uintptr_t text[4];
	int64_t length[4];
} fsq_event;

/* PyEval_RestoreThread, but where that would end the thread, because the
 * interpreter is going away, the thread stays there for good. */
void fsq_restore(PyThreadState *state);

/* Calls table.resolve(…) and returns its list, a new reference that keeps the
 * results alive. NULL, with no Python error left set: the table is gone and
 * results[0].kind is 1, or the call failed and it is 0. `thread` is what fsq_current_thread says meanwhile. */
PyObject *fsq_resolve(PyObject *reference, const char *data, int64_t length, const char *texts,
                      const fsq_call *calls, int64_t count, int exact, int engine, uintptr_t thread,
                      fsq_result *results);

/* The thread handle of the innermost resolver call on this OS thread, or 0. */
uintptr_t fsq_current_thread(void);

/* table.<method>(list of integers[, second list of integers]). `thread`, unless 0,
 * is what fsq_current_thread says meanwhile. */
void fsq_call_integers(PyObject *reference, const char *method, const int64_t *first, int64_t first_count,
                       const int64_t *second, int64_t second_count, uintptr_t thread);

/* table.method(number, message), where method is log, audit or emptied. thread as above. */
void fsq_tell(PyObject *reference, const char *method, int number, const char *message, int64_t length,
              uintptr_t thread);

/* One response that is to become a bytes object or a str: head, payload and "}". Name and
 * head lie in a buffer of texts. Laid out as executor.Entry. */
typedef struct {
	int64_t name_at, name_length; /* a length of 0: the name before */
	int64_t head_at, head_length;
	int64_t payload_length;
	int64_t form;    /* as executor.Form */
	uintptr_t place; /* set here: where the payload is to be written */
} fsq_entry;

enum { FSQ_BYTES, FSQ_ASCII, FSQ_UTF8, FSQ_AGAIN }; /* executor.Form */

/* Append `count` new bytes objects to list, complete but for the payloads. The list
 * owns them. Returns how many were made, and leaves no Python error set. */
int64_t fsq_append_bytes(PyObject *list, const char *texts, fsq_entry *entries, int64_t count);

/* The same with (str, bytes) tuples. Of messages that are to be text, the names go to `names`
 * and they themselves to `strings`. Names are ASCII. */
int64_t fsq_append_pairs(PyObject *list, PyObject *names, PyObject *strings, const char *texts, fsq_entry *entries,
                         int64_t count);

/* Once the payloads have been written: makes what is bytes yet in `strings` str. Returns how
 * many of them are, and leaves no Python error set. */
int64_t fsq_decode(PyObject *strings);

/* Append a reference that is given away, NULL with a Python error set; the functions that Python
 * calls. Return 0, or -1 with a Python error set. */
int fsq_give(PyObject *list, PyObject *item);
int fsq_give_functions(PyObject *list);

/* The exception that is set, which is none any more; a new reference. */
PyObject *fsq_take_exception(void);

/* The type of a pump's rounds (round.c), a new reference; NULL with a Python error set. */
PyObject *fsq_round_type(void);

/* Append (integer, None); a str of UTF-8 text; a bytes object. Return 0 or -1. */
int fsq_append_ticket(PyObject *list, int64_t ticket);
int fsq_append_text(PyObject *list, const char *text, int64_t length);
int fsq_append_body(PyObject *list, const char *text, int64_t length);

/* Read at most so many items into found, from index on, of a list of tuples (event_type, channel, data), or with
 * correlation_id and event_id, "" for none, behind them; what is at data is not looked at. Returns
 * how many were read before there were no more, or one that is no such tuple. Leaves no Python error
 * set. */
int64_t fsq_events_at(PyObject *events, int64_t index, fsq_event *found, int64_t most);

/* Append to list a read-only memoryview of the byte that is 1 in a forked child, have
 * it set there, and append copy_value, plain_data and the type of rounds. Returns 0, 1
 * in a subinterpreter, -1 on failure. */
int fsq_process_init(PyObject *list);
int fsq_forked(void);

/* Make this OS thread one with a Python thread state, which fsq_detach frees. The
 * GIL is not held before or after. */
void *fsq_attach(int *ensured);
void fsq_detach(void *state, int ensured);

#endif
