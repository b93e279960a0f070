/* What draining must at least do: (str, bytes) tuples made from one buffer, in a list. */
#include <Python.h>
#include <string.h>

int floor_drain(PyObject *list, const char *name, Py_ssize_t name_length, const char *message,
                Py_ssize_t message_length, Py_ssize_t count)
{
	for (Py_ssize_t i = 0; i < count; i++) {
		PyObject *id = PyUnicode_New(name_length, 127);
		PyObject *bytes = PyBytes_FromStringAndSize(NULL, message_length);
		PyObject *pair = PyTuple_New(2);
		if (id == NULL || bytes == NULL || pair == NULL)
			return -1;
		memcpy(PyUnicode_1BYTE_DATA(id), name, name_length);
		memcpy(PyBytes_AS_STRING(bytes), message, message_length);
		PyTuple_SET_ITEM(pair, 0, id);
		PyTuple_SET_ITEM(pair, 1, bytes);
		if (PyList_Append(list, pair) < 0)
			return -1;
		Py_DECREF(pair);
	}
	return 0;
}
