#include "bridge.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

static unsigned char forked;
static __thread uintptr_t current_thread;

/* CPython before 3.14 ends a thread that asks for the GIL of a finalizing
 * interpreter with pthread_exit, and a Go stack must not be ended like that: the
 * thread stays where it is until the process ends. */
static void stay(void *unused)
{
	(void)unused;
	for (;;)
		pause();
}

void fsq_restore(PyThreadState *state)
{
	pthread_cleanup_push(stay, NULL);
	PyEval_RestoreThread(state);
	pthread_cleanup_pop(0);
}

/* A new reference to the table behind the weak reference, or NULL; the weak
 * reference is NULL once its owner is closed. */
static PyObject *upgrade(PyObject *reference)
{
	if (reference == NULL)
		return NULL;
#if PY_VERSION_HEX >= 0x030D0000
	PyObject *table = NULL;
	if (PyWeakref_GetRef(reference, &table) < 0)
		PyErr_Clear();
	return table;
#else
	PyObject *table = PyWeakref_GetObject(reference);
	if (table == NULL) {
		PyErr_Clear();
		return NULL;
	}
	if (table == Py_None)
		return NULL;
	Py_INCREF(table);
	return table;
#endif
}

PyObject *fsq_take_exception(void)
{
#if PY_VERSION_HEX >= 0x030C0000
	return PyErr_GetRaisedException();
#else
	PyObject *type, *value, *trace;
	PyErr_Fetch(&type, &value, &trace);
	PyErr_NormalizeException(&type, &value, &trace);
	if (trace != NULL)
		PyException_SetTraceback(value, trace);
	Py_XDECREF(type);
	Py_XDECREF(trace);
	return value;
#endif
}

/* A call into the table has failed. KeyboardInterrupt and SystemExit, which a
 * signal can raise before the called code can guard itself, are kept for the
 * application's thread to raise once it is back in Python: true then. Anything
 * else, and what reaches a thread of the engine, is reported here. */
static int keep_interrupt(PyObject *table, int engine)
{
	if (engine || !(PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) || PyErr_ExceptionMatches(PyExc_SystemExit))) {
		PyErr_WriteUnraisable(table);
		return 0;
	}
	PyObject *interrupt = fsq_take_exception();
	PyObject *interrupts = PyObject_GetAttrString(table, "_interrupts");
	PyObject *thread = PyLong_FromUnsignedLong(PyThread_get_thread_ident());
	int kept = interrupts != NULL && thread != NULL && interrupt != NULL &&
	           PyObject_SetItem(interrupts, thread, interrupt) == 0;
	Py_XDECREF(interrupts);
	Py_XDECREF(thread);
	Py_XDECREF(interrupt);
	if (!kept)
		PyErr_WriteUnraisable(table);
	return kept;
}

static PyObject *optional_bytes(const char *texts, int64_t at, int64_t length)
{
	if (length < 0)
		return Py_NewRef(Py_None);
	return PyBytes_FromStringAndSize(texts + at, length);
}

/* A resolver that takes the data alone and answers at once crosses as its number, any
 * other as (number, variables, info, ticket). */
static PyObject *call_object(const char *texts, const fsq_call *call)
{
	if (call->variables_length < 0 && call->info_length < 0 && call->ticket == 0)
		return PyLong_FromLongLong(call->resolver);
	PyObject *variables = optional_bytes(texts, call->variables_at, call->variables_length);
	PyObject *info = optional_bytes(texts, call->info_at, call->info_length);
	if (variables == NULL || info == NULL) {
		Py_XDECREF(variables);
		Py_XDECREF(info);
		return NULL;
	}
	/* N gives both references to the tuple, also when it cannot be made. */
	return Py_BuildValue("(LNNL)", (long long)call->resolver, variables, info, (long long)call->ticket);
}

/* Point result at the value that Python gave: bytes, or (kind, bytes). */
static int read_result(PyObject *value, fsq_result *result)
{
	result->kind = 0;
	if (PyTuple_Check(value) && PyTuple_GET_SIZE(value) == 2) {
		result->kind = PyLong_AsLongLong(PyTuple_GET_ITEM(value, 0));
		value = PyTuple_GET_ITEM(value, 1);
	}
	if (!PyBytes_Check(value)) {
		PyErr_Format(PyExc_TypeError, "a resolver's result crossed as %s, not bytes", Py_TYPE(value)->tp_name);
		return -1;
	}
	result->value = (uintptr_t)PyBytes_AS_STRING(value);
	result->length = PyBytes_GET_SIZE(value);
	return 0;
}

static PyObject *call_list(const char *texts, const fsq_call *calls, int64_t count)
{
	PyObject *list = PyList_New(count);
	for (int64_t i = 0; list != NULL && i < count; i++) {
		PyObject *one = call_object(texts, &calls[i]);
		if (one == NULL)
			Py_CLEAR(list);
		else
			PyList_SET_ITEM(list, i, one);
	}
	return list;
}

/* How often in a row a signal may strike before the resolvers are given up. */
enum { INTERRUPTS = 8 };

static PyObject *resolve(PyObject *reference, const char *data, int64_t length, const char *texts,
                         const fsq_call *calls, int64_t count, int exact, int engine, fsq_result *results)
{
	PyObject *table = upgrade(reference);
	results[0].kind = table == NULL;
	if (table == NULL)
		return NULL;
	PyObject *answer = NULL;
	PyObject *list = call_list(texts, calls, count);
	for (int tries = 0; list != NULL && answer == NULL && tries < INTERRUPTS; tries++) {
		answer = PyObject_CallMethod(table, "resolve", "y#Oii", data, (Py_ssize_t)length, list, exact, engine);
		if (answer == NULL && !keep_interrupt(table, engine))
			break;
	}
	Py_XDECREF(list);
	if (answer != NULL && (!PyList_Check(answer) || PyList_GET_SIZE(answer) != count)) {
		Py_CLEAR(answer);
		PyErr_SetString(PyExc_TypeError, "resolve() gave no list of one result a call");
	}
	for (int64_t i = 0; answer != NULL && i < count; i++)
		if (read_result(PyList_GET_ITEM(answer, i), &results[i]) < 0)
			Py_CLEAR(answer);
	if (PyErr_Occurred())
		PyErr_WriteUnraisable(table);
	/* May run the table's destructor, if its executor was dropped meanwhile. */
	Py_DECREF(table);
	return answer;
}

PyObject *fsq_resolve(PyObject *reference, const char *data, int64_t length, const char *texts,
                      const fsq_call *calls, int64_t count, int exact, int engine, uintptr_t thread,
                      fsq_result *results)
{
	PyObject *answer = NULL;
	/* All of it, since any allocation or release may run the application's code. */
	uintptr_t outer = current_thread;
	current_thread = thread;
	pthread_cleanup_push(stay, NULL);
	answer = resolve(reference, data, length, texts, calls, count, exact, engine, results);
	pthread_cleanup_pop(0);
	current_thread = outer;
	return answer;
}

uintptr_t fsq_current_thread(void) { return current_thread; }

static PyObject *integers(const int64_t *values, int64_t count)
{
	PyObject *list = PyList_New(count);
	for (int64_t i = 0; list != NULL && i < count; i++) {
		PyObject *value = PyLong_FromLongLong(values[i]);
		if (value == NULL)
			Py_CLEAR(list);
		else
			PyList_SET_ITEM(list, i, value);
	}
	return list;
}

static void call_integers(PyObject *reference, const char *method, const int64_t *first, int64_t first_count,
                          const int64_t *second, int64_t second_count, int engine)
{
	PyObject *table = upgrade(reference);
	if (table == NULL)
		return;
	PyObject *one = integers(first, first_count);
	PyObject *two = second_count < 0 ? NULL : integers(second, second_count);
	PyObject *name = PyUnicode_FromString(method);
	if (one != NULL && name != NULL && (two != NULL || second_count < 0))
		Py_XDECREF(PyObject_CallMethodObjArgs(table, name, one, two, NULL));
	if (PyErr_Occurred())
		keep_interrupt(table, engine);
	Py_XDECREF(one);
	Py_XDECREF(two);
	Py_XDECREF(name);
	Py_DECREF(table);
}

void fsq_call_integers(PyObject *reference, const char *method, const int64_t *first, int64_t first_count,
                       const int64_t *second, int64_t second_count, uintptr_t thread)
{
	uintptr_t outer = current_thread;
	if (thread != 0)
		current_thread = thread;
	pthread_cleanup_push(stay, NULL);
	call_integers(reference, method, first, first_count, second, second_count, thread != 0);
	pthread_cleanup_pop(0);
	current_thread = outer;
}

static void tell(PyObject *reference, const char *method, int number, const char *message, int64_t length)
{
	PyObject *table = upgrade(reference);
	if (table == NULL)
		return;
	PyObject *text = PyUnicode_DecodeUTF8(message, length, "replace");
	if (text != NULL)
		Py_XDECREF(PyObject_CallMethod(table, method, "iN", number, text));
	if (PyErr_Occurred())
		PyErr_WriteUnraisable(table);
	Py_DECREF(table);
}

void fsq_tell(PyObject *reference, const char *method, int number, const char *message, int64_t length,
              uintptr_t thread)
{
	uintptr_t outer = current_thread;
	if (thread != 0)
		current_thread = thread;
	pthread_cleanup_push(stay, NULL);
	tell(reference, method, number, message, length);
	pthread_cleanup_pop(0);
	current_thread = outer;
}

int fsq_give(PyObject *list, PyObject *item)
{
	if (item == NULL)
		return -1;
	int status = PyList_Append(list, item);
	Py_DECREF(item);
	return status;
}

/* Write what stands around a message's payload, and note the payload's place. */
static void frame(char *at, const char *texts, fsq_entry *entry)
{
	memcpy(at, texts + entry->head_at, entry->head_length);
	at += entry->head_length;
	entry->place = (uintptr_t)at;
	at[entry->payload_length] = '}';
}

/* A message, complete but for its payload. */
static PyObject *message(const char *texts, fsq_entry *entry)
{
	PyObject *bytes = PyBytes_FromStringAndSize(NULL, entry->head_length + entry->payload_length + 1);
	if (bytes == NULL)
		return NULL;
	frame(PyBytes_AS_STRING(bytes), texts, entry);
	return bytes;
}

int64_t fsq_append_bytes(PyObject *list, const char *texts, fsq_entry *entries, int64_t count)
{
	for (int64_t i = 0; i < count; i++)
		if (fsq_give(list, message(texts, &entries[i])) < 0) {
			PyErr_Clear();
			return i;
		}
	return count;
}

/* A (str, bytes) tuple; bytes, which may be NULL, is given to it. */
static PyObject *pair(PyObject *name, PyObject *bytes)
{
	PyObject *made = bytes == NULL ? NULL : PyTuple_New(2);
	if (made == NULL) {
		Py_XDECREF(bytes);
		return NULL;
	}
	PyTuple_SET_ITEM(made, 0, Py_NewRef(name));
	PyTuple_SET_ITEM(made, 1, bytes);
	return made;
}

/* A message of ASCII as a str, likewise. */
static PyObject *ascii_message(const char *texts, fsq_entry *entry)
{
	PyObject *text = PyUnicode_New(entry->head_length + entry->payload_length + 1, 127);
	if (text == NULL)
		return NULL;
	frame(PyUnicode_DATA(text), texts, entry);
	return text;
}

/* Append a message and its name to the lists of texts; again is the one before. */
static int give_text(PyObject *names, PyObject *strings, PyObject *name, const char *texts, fsq_entry *entry,
                     PyObject **again)
{
	if (entry->form == FSQ_AGAIN)
		Py_INCREF(*again);
	else
		*again = entry->form == FSQ_ASCII ? ascii_message(texts, entry) : message(texts, entry);
	if (fsq_give(strings, *again) < 0)
		return -1;
	return PyList_Append(names, name);
}

int64_t fsq_append_pairs(PyObject *list, PyObject *names, PyObject *strings, const char *texts, fsq_entry *entries,
                         int64_t count)
{
	PyObject *name = NULL, *again = NULL;
	int64_t made = 0;
	for (; made < count; made++) {
		fsq_entry *entry = &entries[made];
		if (entry->name_length > 0) {
			Py_XDECREF(name);
			name = PyUnicode_New(entry->name_length, 127);
			if (name == NULL)
				break;
			memcpy(PyUnicode_DATA(name), texts + entry->name_at, entry->name_length);
		}
		int status = entry->form == FSQ_BYTES ? fsq_give(list, pair(name, message(texts, entry)))
		                                      : give_text(names, strings, name, texts, entry, &again);
		if (status < 0)
			break;
	}
	Py_XDECREF(name);
	if (made < count)
		PyErr_Clear();
	return made;
}

int64_t fsq_decode(PyObject *strings)
{
	Py_ssize_t count = PyList_GET_SIZE(strings);
	for (Py_ssize_t i = 0; i < count; i++) {
		PyObject *bytes = PyList_GET_ITEM(strings, i);
		if (!PyBytes_Check(bytes))
			continue;
		PyObject *text = PyUnicode_DecodeUTF8(PyBytes_AS_STRING(bytes), PyBytes_GET_SIZE(bytes), "replace");
		if (text == NULL) {
			PyErr_Clear();
			return i;
		}
		PyList_SET_ITEM(strings, i, text);
		Py_DECREF(bytes);
	}
	return count;
}

int fsq_append_ticket(PyObject *list, int64_t ticket)
{
	int status = fsq_give(list, Py_BuildValue("(LO)", (long long)ticket, Py_None));
	if (status < 0)
		PyErr_Clear();
	return status;
}

int fsq_append_text(PyObject *list, const char *text, int64_t length)
{
	int status = fsq_give(list, PyUnicode_DecodeUTF8(text, length, "strict"));
	if (status < 0)
		PyErr_Clear();
	return status;
}

int fsq_append_body(PyObject *list, const char *text, int64_t length)
{
	int status = fsq_give(list, PyBytes_FromStringAndSize(text, length));
	if (status < 0)
		PyErr_Clear();
	return status;
}

static void mark_forked(void) { forked = 1; }

int fsq_process_init(PyObject *list)
{
	static int installed;
	if (PyInterpreterState_Get() != PyInterpreterState_Main())
		return 1;
	if (!installed && pthread_atfork(NULL, NULL, mark_forked) != 0)
		return -1;
	installed = 1;
	if (fsq_give(list, PyMemoryView_FromMemory((char *)&forked, 1, PyBUF_READ)) < 0 ||
	    fsq_give_functions(list) < 0 || fsq_give(list, fsq_round_type()) < 0) {
		PyErr_Clear();
		return -1;
	}
	return 0;
}

int fsq_forked(void) { return forked; }

void *fsq_attach(int *ensured)
{
	void *state = NULL;
	pthread_cleanup_push(stay, NULL);
	*ensured = (int)PyGILState_Ensure();
	state = PyEval_SaveThread();
	pthread_cleanup_pop(0);
	return state;
}

void fsq_detach(void *state, int ensured)
{
	fsq_restore(state);
	PyGILState_Release((PyGILState_STATE)ensured);
}
