/* Python values: what Python itself calls, and what is read of the events of a batch. */
#include "bridge.h"

/* A copy of a value that came from a JSON decoder: its own dicts and lists, however deep
 * (the decoder bounds that), and the same texts and numbers, which nobody can change. */
static PyObject *copy_value(PyObject *unused, PyObject *value)
{
	if (PyDict_CheckExact(value)) {
		PyObject *made = PyDict_Copy(value), *key, *part;
		for (Py_ssize_t at = 0; made != NULL && PyDict_Next(made, &at, &key, &part);) {
			if (!PyDict_CheckExact(part) && !PyList_CheckExact(part))
				continue;
			PyObject *copy = copy_value(unused, part);
			/* Of a key that is there: the iteration goes on. */
			if (copy == NULL || PyDict_SetItem(made, key, copy) < 0)
				Py_CLEAR(made);
			Py_XDECREF(copy);
		}
		return made;
	}
	if (PyList_CheckExact(value)) {
		PyObject *made = PyList_GetSlice(value, 0, PyList_GET_SIZE(value));
		for (Py_ssize_t i = 0; made != NULL && i < PyList_GET_SIZE(made); i++) {
			PyObject *part = PyList_GET_ITEM(made, i);
			if (!PyDict_CheckExact(part) && !PyList_CheckExact(part))
				continue;
			PyObject *copy = copy_value(unused, part);
			if (copy == NULL || PyList_SetItem(made, i, copy) < 0)
				Py_CLEAR(made);
		}
		return made;
	}
	return Py_NewRef(value);
}

/* A name that crosses as it is: ASCII, not empty, without a NUL. */
static int is_name(PyObject *text)
{
	if (!PyUnicode_CheckExact(text) || !PyUnicode_IS_COMPACT_ASCII(text))
		return 0;
	Py_ssize_t length = PyUnicode_GET_LENGTH(text);
	return length > 0 && memchr(PyUnicode_1BYTE_DATA(text), 0, length) == NULL;
}

/* The data of the events of a list, None when one is no (event_type, channel, data) tuple of
 * exactly a str, a str and a dict, or has another name. No code of Python's runs meanwhile. */
static PyObject *plain_data(PyObject *Py_UNUSED(unused), PyObject *events)
{
	if (!PyList_CheckExact(events)) {
		PyErr_SetString(PyExc_TypeError, "plain_data takes a list");
		return NULL;
	}
	Py_ssize_t count = PyList_GET_SIZE(events);
	PyObject *made = PyList_New(count);
	for (Py_ssize_t i = 0; made != NULL && i < count; i++) {
		PyObject *event = PyList_GET_ITEM(events, i);
		if (!PyTuple_CheckExact(event) || PyTuple_GET_SIZE(event) != 3 || !is_name(PyTuple_GET_ITEM(event, 0)) ||
		    !is_name(PyTuple_GET_ITEM(event, 1)) || !PyDict_CheckExact(PyTuple_GET_ITEM(event, 2))) {
			Py_DECREF(made);
			Py_RETURN_NONE;
		}
		PyList_SET_ITEM(made, i, Py_NewRef(PyTuple_GET_ITEM(event, 2)));
	}
	return made;
}

static PyMethodDef functions[] = {
	{"copy_value", copy_value, METH_O, "A copy of a decoded JSON value."},
	{"plain_data", plain_data, METH_O, "The data of a batch of plain events, None for others."},
};

int fsq_give_functions(PyObject *list)
{
	for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
		if (fsq_give(list, PyCFunction_New(&functions[i], NULL)) < 0)
			return -1;
	}
	return 0;
}

static int read_event(PyObject *item, fsq_event *event)
{
	if (!PyTuple_Check(item))
		return -1;
	Py_ssize_t count = PyTuple_GET_SIZE(item);
	if (count != 3 && count != 5)
		return -1;
	*event = (fsq_event){{0}, {0}};
	static const int places[] = {0, 1, 3, 4};
	for (int i = 0; i < 4 && places[i] < count; i++) {
		PyObject *part = PyTuple_GET_ITEM(item, places[i]);
		Py_ssize_t length = 0;
		const char *text = PyUnicode_Check(part) ? PyUnicode_AsUTF8AndSize(part, &length) : NULL;
		event->text[i] = (uintptr_t)text;
		event->length[i] = length;
		if (text == NULL) {
			PyErr_Clear();
			return -1;
		}
	}
	return 0;
}

int64_t fsq_events_at(PyObject *events, int64_t index, fsq_event *found, int64_t most)
{
	int64_t count = 0;
	while (count < most && index + count < PyList_GET_SIZE(events) &&
	       read_event(PyList_GET_ITEM(events, index + count), &found[count]) == 0)
		count++;
	return count;
}
