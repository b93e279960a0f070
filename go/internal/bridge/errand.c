/* Errands of pumps (pump.py), begun by a callback of the event loop: for each message that a
 * WebSocket is sent, a few calls in C instead of a dozen functions of Python's.
 *
 * The GIL is held throughout, but an errand is the application's code: it may give the GIL up, and
 * other threads then change what is looked at here. So nothing is borrowed across a call. */
#include "bridge.h"

/* A pump's `handing`: its event loop, task and context; its errand; and a coroutine function that
 * awaits what is no coroutine. */
enum { LOOP, TASK, CONTEXT, ERRAND, AWAITING, HANDING };

/* Attributes, and a message's text. */
enum { DIRECT, HANDING_OF, LEAVE, TEXT, TEXTS, NAMES };
static const char *const spelled[NAMES] = {"direct", "handing", "leave", "text", "texts"};
static PyObject *names[NAMES];

static PyObject *enter_task, *leave_task; /* asyncio's */
static PyObject *empty_message;           /* what each message begins as */

/* Make what is kept for good, once. Returns 0, or -1 with a Python error set. */
static int prepare(void)
{
	if (empty_message != NULL)
		return 0;
	for (int i = 0; i < NAMES; i++)
		if (names[i] == NULL && (names[i] = PyUnicode_InternFromString(spelled[i])) == NULL)
			return -1;
	PyObject *tasks = PyImport_ImportModule("asyncio.tasks");
	if (tasks == NULL)
		return -1;
	if (enter_task == NULL)
		enter_task = PyObject_GetAttrString(tasks, "_enter_task");
	if (leave_task == NULL)
		leave_task = PyObject_GetAttrString(tasks, "_leave_task");
	Py_DECREF(tasks);
	if (enter_task == NULL || leave_task == NULL)
		return -1;
	empty_message = Py_BuildValue("{ssss}", "type", "websocket.send", "text", "");
	return empty_message == NULL ? -1 : 0;
}

/* Run errand(argument) until it ends or has to wait. What is left of it, as begin returns it. */
static PyObject *run(PyObject *handing, PyObject *argument)
{
	PyObject *coroutine = PyObject_CallOneArg(PyTuple_GET_ITEM(handing, ERRAND), argument);
	if (coroutine != NULL && !PyCoro_CheckExact(coroutine)) {
		PyObject *awaitable = coroutine;
		coroutine = PyObject_CallOneArg(PyTuple_GET_ITEM(handing, AWAITING), awaitable);
		Py_DECREF(awaitable);
	}
	PyObject *told, *left = NULL;
	switch (coroutine == NULL ? PYGEN_ERROR : PyIter_Send(coroutine, Py_None, &told)) {
	case PYGEN_RETURN:
		Py_DECREF(told);
		left = Py_NewRef(Py_None);
		break;
	case PYGEN_NEXT:
		left = PyTuple_Pack(2, coroutine, told);
		Py_DECREF(told);
		break;
	default:
		break;
	}
	if (left == NULL)
		left = fsq_take_exception();
	Py_XDECREF(coroutine);
	return left;
}

/* asyncio's `change` of the current task of a loop. Returns 0, or -1 with a Python error set. */
static int tell_asyncio(PyObject *change, PyObject *handing)
{
	PyObject *who[] = {PyTuple_GET_ITEM(handing, LOOP), PyTuple_GET_ITEM(handing, TASK)};
	PyObject *told = PyObject_Vectorcall(change, who, 2, NULL);
	Py_XDECREF(told);
	return told == NULL ? -1 : 0;
}

/* begin for a tuple that is known to be one. */
static PyObject *begin(PyObject *handing, PyObject *argument)
{
	PyObject *context = PyTuple_GET_ITEM(handing, CONTEXT);
	if (tell_asyncio(enter_task, handing) < 0)
		return NULL;
	PyObject *left = NULL;
	if (PyContext_Enter(context) == 0) {
		left = run(handing, argument);
		if (PyContext_Exit(context) < 0)
			Py_CLEAR(left);
	}
	PyObject *failure = left == NULL ? fsq_take_exception() : NULL;
	if (tell_asyncio(leave_task, handing) < 0)
		Py_CLEAR(left);
	if (failure != NULL) {
		PyErr_SetObject((PyObject *)Py_TYPE(failure), failure);
		Py_DECREF(failure);
	}
	return left;
}

static int is_handing(PyObject *handing) { return PyTuple_CheckExact(handing) && PyTuple_GET_SIZE(handing) == HANDING; }

PyObject *fsq_begin(PyObject *Py_UNUSED(unused), PyObject *const *given, Py_ssize_t count)
{
	if (count != 2 || !is_handing(given[0])) {
		PyErr_SetString(PyExc_TypeError, "begin takes a pump's handing and an argument");
		return NULL;
	}
	return prepare() < 0 ? NULL : begin(given[0], given[1]);
}

/* What to begin the errands of a feed's pump with, a new reference, and the pump; NULL with no error
 * set: it has none that takes texts as they are, or that is not idle. */
static PyObject *ready(PyObject *feed, PyObject **pump)
{
	PyObject *handing = NULL;
	*pump = PyObject_GetAttr(feed, names[DIRECT]);
	if (*pump != NULL && *pump != Py_None)
		handing = PyObject_GetAttr(*pump, names[HANDING_OF]);
	if (handing == NULL || !is_handing(handing)) {
		Py_CLEAR(handing);
		Py_CLEAR(*pump);
	}
	return handing;
}

/* The last of a consumer's texts, which are taken from it, as a message; NULL with no error set: it
 * has none. No code of Python's runs between finding the list and taking from it. */
static PyObject *next_message(PyObject *consumer)
{
	PyObject *message = PyDict_Copy(empty_message);
	PyObject *texts = message == NULL ? NULL : PyObject_GetAttr(consumer, names[TEXTS]);
	Py_ssize_t last = texts == NULL ? 0 : PyList_Size(texts);
	int status = -1;
	if (last > 0) {
		status = PyDict_SetItem(message, names[TEXT], PyList_GET_ITEM(texts, last - 1));
		if (status == 0)
			status = PyList_SetSlice(texts, last - 1, last, NULL);
	}
	Py_XDECREF(texts);
	if (status < 0)
		Py_CLEAR(message);
	return message;
}

PyObject *fsq_hand_over(PyObject *Py_UNUSED(unused), PyObject *const *given, Py_ssize_t count)
{
	if (count != 4 || !PyDict_CheckExact(given[1]) || !PyList_CheckExact(given[2])) {
		PyErr_SetString(PyExc_TypeError, "hand_over takes a consumer, its feeds, a list of ids and an index of that");
		return NULL;
	}
	PyObject *consumer = given[0], *feeds = given[1], *ids = given[2];
	Py_ssize_t at = PyLong_AsSsize_t(given[3]);
	if (prepare() < 0)
		return NULL;
	for (; at >= 0 && at < PyList_GET_SIZE(ids); at++) {
		PyObject *feed = PyDict_GetItemWithError(feeds, PyList_GET_ITEM(ids, at)), *pump = NULL;
		Py_XINCREF(feed);
		PyObject *handing = feed == NULL ? NULL : ready(feed, &pump);
		Py_XDECREF(feed);
		if (handing == NULL)
			break;
		PyObject *message = next_message(consumer), *left = NULL;
		if (message != NULL)
			left = begin(handing, message);
		Py_XDECREF(message);
		Py_DECREF(handing);
		if (left != NULL && left != Py_None) {
			PyObject *told = PyObject_CallMethodOneArg(pump, names[LEAVE], left);
			Py_DECREF(left);
			left = told;
		}
		Py_DECREF(pump);
		if (left == NULL)
			break;
		Py_DECREF(left);
	}
	return PyErr_Occurred() ? NULL : PyLong_FromSsize_t(at);
}
