/* A round: errands of pumps, one after the other, as pump.py's coroutine awaits them. It is an iterator
 * of (errand, argument) tuples, and what Python has no function for: between giving out one tuple and
 * the next, the thread is in the context of that pump's task. In C, too, since it is what a message to
 * a WebSocket costs beyond sending it.
 *
 * An errand is the application's code: it may give the GIL up, and other threads and it itself may
 * change what is looked at here, so nothing is borrowed across a call. */
#include "bridge.h"

#include <stddef.h>
#include <structmember.h>

/* A pump's `handing`, while it is idle: its event loop, task, context, and errand. */
enum { LOOP, TASK, CONTEXT, ERRAND, HANDING };

typedef struct {
	PyObject_HEAD
	PyObject *pumps, *ids, *texts; /* a dict by id, and two lists, of which the second is used up from its end */
	Py_ssize_t at;                 /* the index in ids of the next errand */
	/* Of the errand under way; NULL: there is none. */
	PyObject *id, *pump, *handing;
} Round;

static PyObject *enter_task, *leave_task; /* asyncio's */
static PyObject *handing_name, *text_name, *type_name, *type;

/* Tell asyncio of a change of the current task. Returns 0, or -1 with a Python error set, which it may
 * have been before. */
static int tell_asyncio(PyObject *change, PyObject *handing)
{
	PyObject *failure = PyErr_Occurred() == NULL ? NULL : fsq_take_exception();
	PyObject *who[] = {PyTuple_GET_ITEM(handing, LOOP), PyTuple_GET_ITEM(handing, TASK)};
	PyObject *told = PyObject_Vectorcall(change, who, 2, NULL);
	Py_XDECREF(told);
	if (failure == NULL)
		return told == NULL ? -1 : 0;
	PyErr_SetObject((PyObject *)Py_TYPE(failure), failure);
	Py_DECREF(failure);
	return -1;
}

/* Be a pump's task no longer. Returns 0, or -1 with a Python error set, as above. */
static int leave(Round *round)
{
	PyObject *handing = round->handing;
	if (handing == NULL)
		return 0;
	round->handing = NULL;
	Py_CLEAR(round->id);
	Py_CLEAR(round->pump);
	int exited = PyContext_Exit(PyTuple_GET_ITEM(handing, CONTEXT));
	int told = tell_asyncio(leave_task, handing);
	Py_DECREF(handing);
	return exited < 0 ? exited : told;
}

/* Be the task of the pump with an id, if it is idle: 1; if it is not, or there is none, 0. -1 with a
 * Python error set. */
static int enter(Round *round, PyObject *id)
{
	PyObject *pump = PyDict_GetItemWithError(round->pumps, id);
	if (pump == NULL)
		return PyErr_Occurred() ? -1 : 0;
	Py_INCREF(pump);
	PyObject *handing = PyObject_GetAttr(pump, handing_name);
	int status = handing == NULL ? -1 : 0;
	if (handing != NULL && PyTuple_CheckExact(handing) && PyTuple_GET_SIZE(handing) == HANDING) {
		status = tell_asyncio(enter_task, handing);
		if (status == 0 && PyContext_Enter(PyTuple_GET_ITEM(handing, CONTEXT)) == 0) {
			round->id = Py_NewRef(id);
			round->pump = pump;
			round->handing = handing;
			return 1;
		}
		if (status == 0)
			status = tell_asyncio(leave_task, handing);
	}
	Py_XDECREF(handing);
	Py_DECREF(pump);
	return status;
}

/* Whether the errand under way left its pump idle, and nobody has taken its id from that. -1 with a
 * Python error set. */
static int is_idle(Round *round)
{
	if (PyDict_GetItemWithError(round->pumps, round->id) != round->pump)
		return PyErr_Occurred() == NULL ? 0 : -1;
	PyObject *handing = PyObject_GetAttr(round->pump, handing_name);
	Py_XDECREF(handing);
	return handing == NULL ? -1 : handing == round->handing;
}

/* The errand under way and its argument: the last of the texts, a str as a message, which is not there
 * any more. NULL with no error set: it is another thread's already. No code of Python's runs in between,
 * and nothing that can fail comes after it was taken. */
static PyObject *take(Round *round)
{
	PyObject *pair = PyTuple_New(2), *message = PyDict_New();
	if (pair == NULL || message == NULL || PyDict_SetItem(message, type_name, type) < 0)
		goto failed;
	Py_ssize_t last = PyList_GET_SIZE(round->texts) - 1;
	if (last < 0)
		goto failed;
	PyObject *text = PyList_GET_ITEM(round->texts, last);
	if (!PyUnicode_CheckExact(text))
		Py_SETREF(message, Py_NewRef(text));
	else if (PyDict_SetItem(message, text_name, text) < 0)
		goto failed;
	if (PyList_SetSlice(round->texts, last, last + 1, NULL) < 0)
		goto failed;
	PyTuple_SET_ITEM(pair, 0, Py_NewRef(PyTuple_GET_ITEM(round->handing, ERRAND)));
	PyTuple_SET_ITEM(pair, 1, message);
	return pair;
failed:
	Py_XDECREF(message);
	Py_XDECREF(pair);
	return NULL;
}

/* There is nothing more to give out. Returns 0, or -1 with a Python error set, as above. */
static int stop(Round *round)
{
	int left = leave(round);
	Py_CLEAR(round->pumps); /* what keeps the round keeps nothing by it: a coroutine, or a traceback */
	Py_CLEAR(round->ids);
	Py_CLEAR(round->texts);
	return left;
}

static PyObject *next(Round *round)
{
	PyObject *id = NULL;
	if (round->pumps != NULL && round->at < PyList_GET_SIZE(round->ids))
		id = Py_NewRef(PyList_GET_ITEM(round->ids, round->at));
	int entered = id != NULL && id == round->id ? is_idle(round) : 0;
	if (entered == 0 && leave(round) == 0 && id != NULL)
		entered = enter(round, id);
	Py_XDECREF(id);
	PyObject *pair = entered > 0 ? take(round) : NULL;
	if (pair == NULL)
		stop(round);
	else
		round->at++;
	return pair;
}

/* The round ends, with an errand under way or not: that one's pump, or None. */
static PyObject *end(Round *round, PyObject *Py_UNUSED(unused))
{
	PyObject *pump = Py_NewRef(round->pump == NULL ? Py_None : round->pump);
	if (stop(round) < 0)
		Py_CLEAR(pump);
	return pump;
}

static PyObject *new(PyTypeObject *kind, PyObject *given, PyObject *Py_UNUSED(named))
{
	PyObject *pumps, *ids, *texts;
	Py_ssize_t at;
	if (!PyArg_ParseTuple(given, "O!O!O!n", &PyDict_Type, &pumps, &PyList_Type, &ids, &PyList_Type, &texts, &at))
		return NULL;
	if (at < 0)
		return PyErr_Format(PyExc_ValueError, "a round cannot begin at %zd", at);
	Round *round = (Round *)kind->tp_alloc(kind, 0);
	if (round != NULL) {
		round->pumps = Py_NewRef(pumps);
		round->ids = Py_NewRef(ids);
		round->texts = Py_NewRef(texts);
		round->at = at;
	}
	return (PyObject *)round;
}

static void dealloc(Round *round)
{
	PyTypeObject *type = Py_TYPE(round);
	Py_XDECREF(round->pumps);
	Py_XDECREF(round->ids);
	Py_XDECREF(round->texts);
	Py_XDECREF(round->id);
	Py_XDECREF(round->pump);
	Py_XDECREF(round->handing);
	type->tp_free(round);
	Py_DECREF(type);
}

static PyMethodDef methods[] = {
	{"end", (PyCFunction)end, METH_NOARGS, "End the round; the pump whose errand is under way, or None."},
	{0},
};

static PyMemberDef members[] = {
	{"at", T_PYSSIZET, offsetof(Round, at), READONLY, "The index of the next errand's id."},
	{0},
};

static PyType_Slot slots[] = {
	{Py_tp_doc, "Round(pumps, ids, texts, at): errands of idle pumps, by ids[at:]."},
	{Py_tp_new, new},
	{Py_tp_dealloc, dealloc},
	{Py_tp_iter, PyObject_SelfIter},
	{Py_tp_iternext, next},
	{Py_tp_methods, methods},
	{Py_tp_members, members},
	{0},
};

static PyType_Spec spec = {"fraiseql_subscriptions.pump.Round", sizeof(Round), 0, Py_TPFLAGS_DEFAULT, slots};

PyObject *fsq_round_type(void)
{
	PyObject *tasks = PyImport_ImportModule("asyncio.tasks");
	if (tasks == NULL)
		return NULL;
	Py_XSETREF(enter_task, PyObject_GetAttrString(tasks, "_enter_task"));
	Py_XSETREF(leave_task, PyObject_GetAttrString(tasks, "_leave_task"));
	Py_DECREF(tasks);
	Py_XSETREF(handing_name, PyUnicode_InternFromString("handing"));
	Py_XSETREF(text_name, PyUnicode_InternFromString("text"));
	Py_XSETREF(type_name, PyUnicode_InternFromString("type"));
	Py_XSETREF(type, PyUnicode_InternFromString("websocket.send"));
	return PyErr_Occurred() == NULL ? PyType_FromSpec(&spec) : NULL;
}
