/*
 * The machine behind pickle.h: a stack, marks, a memo, and values in one growing table. Each opcode makes at most one value, so memory is bounded by the
 * length of the input, which is itself bounded. Owns the two tables of the result; texts stay in the input.
 */
#include "pickle.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_BYTES = 8 << 20 /* a thousand tensors take 150 KB */, MARK = -1, ORDERED_DICT = 0 };

struct machine {
    struct sky_pickle *pickle;
    const char *path;
    const unsigned char *at, *start, *end;
    const char *const *globals;
    int32_t *stack; /* value indices, or MARK */
    int64_t depth, stack_capacity;
    int32_t *memo; /* value indices */
    int64_t memo_count, memo_capacity;
};

static sky_status refuse(const struct machine *m, const char *what)
{
    sky_fail(SKY_FORMAT, m->path, "its pickle cannot be read: %s (byte %zu of it)", what, (size_t)(m->at - m->start));
    return sky_hint("save plain weights: torch.save(model.state_dict(), FILE)");
}

/* ---- input ---- */

static sky_status refuse_end(const struct machine *m)
{
    return refuse(m, m->end - m->start == MAX_BYTES ? "it is longer than 8 MiB" : "it ends too early");
}

static sky_status take(struct machine *m, size_t count, const unsigned char **out)
{
    if (count > (size_t)(m->end - m->at)) return refuse_end(m);
    *out = m->at;
    m->at += count;
    return SKY_OK;
}

static sky_status take_number(struct machine *m, int bytes, uint64_t *out)
{
    const unsigned char *from = NULL;
    uint64_t value = 0;
    SKY_TRY(take(m, (size_t)bytes, &from));
    for (int i = bytes; i-- > 0;) value = value << 8 | from[i];
    *out = value;
    return SKY_OK;
}

static sky_status take_line(struct machine *m, const char **out, size_t *length)
{
    const unsigned char *end = memchr(m->at, '\n', (size_t)(m->end - m->at));
    if (!end) return refuse_end(m);
    *out = (const char *)m->at;
    *length = (size_t)(end - m->at);
    m->at = end + 1;
    return SKY_OK;
}

/* ---- stack and values ---- */

static sky_status push(struct machine *m, int32_t value)
{
    SKY_TRY(sky_grow(&m->stack, m->depth, &m->stack_capacity, sizeof *m->stack, "a pickle's stack"));
    m->stack[m->depth++] = value;
    return SKY_OK;
}

static sky_status push_new(struct machine *m, struct sky_pickle_value value)
{
    struct sky_pickle *pickle = m->pickle;
    SKY_TRY(sky_grow(&pickle->values, pickle->value_count, &pickle->value_capacity, sizeof *pickle->values, "a pickle's values"));
    value.first = value.last = -1;
    pickle->values[pickle->value_count] = value;
    return push(m, (int32_t)pickle->value_count++);
}

static sky_status pop(struct machine *m, int32_t *out)
{
    if (!m->depth || m->stack[m->depth - 1] == MARK) return refuse(m, "it takes from an empty stack");
    *out = m->stack[--m->depth];
    return SKY_OK;
}

/* The value on top; the pointer lasts until the next push_new. */
static sky_status top(const struct machine *m, struct sky_pickle_value **out)
{
    if (!m->depth || m->stack[m->depth - 1] == MARK) return refuse(m, "it takes from an empty stack");
    *out = &m->pickle->values[m->stack[m->depth - 1]];
    return SKY_OK;
}

static sky_status append(struct machine *m, int32_t container, int32_t item)
{
    struct sky_pickle *pickle = m->pickle;
    if (pickle->cell_count > 2 * (m->end - m->start)) return refuse(m, "it copies the same items over and over");
    SKY_TRY(sky_grow(&pickle->cells, pickle->cell_count, &pickle->cell_capacity, sizeof *pickle->cells, "a pickle's items"));
    struct sky_pickle_value *value = &pickle->values[container];
    const int32_t cell = (int32_t)pickle->cell_count++;
    pickle->cells[cell] = (struct sky_pickle_cell){item, -1};
    if (value->last >= 0) pickle->cells[value->last].next = cell;
    else value->first = cell;
    value->last = cell;
    value->count++;
    return SKY_OK;
}

/* Where the items above the last mark begin. */
static sky_status find_mark(const struct machine *m, int64_t *first)
{
    for (int64_t i = m->depth; i-- > 0;) {
        if (m->stack[i] != MARK) continue;
        *first = i + 1;
        return SKY_OK;
    }
    return refuse(m, "a mark is missing");
}

/* Makes a container of stack[first ..]; `mark` says that a mark lies below them. */
static sky_status gather(struct machine *m, enum sky_pickle_kind kind, int64_t first, bool mark)
{
    if (first < 0) return refuse(m, "it takes from an empty stack");
    for (int64_t i = first; i < m->depth; i++)
        if (m->stack[i] == MARK) return refuse(m, "it takes from an empty stack");
    const int64_t end = m->depth;
    SKY_TRY(push_new(m, (struct sky_pickle_value){.kind = kind}));
    const int32_t made = m->stack[m->depth - 1];
    for (int64_t i = first; i < end; i++) SKY_TRY(append(m, made, m->stack[i]));
    m->depth = first - mark;
    return push(m, made);
}

static sky_status gather_marked(struct machine *m, enum sky_pickle_kind kind)
{
    int64_t first = 0;
    SKY_TRY(find_mark(m, &first));
    if (kind == SKY_PICKLE_DICT && (m->depth - first) % 2) return refuse(m, "a key without a value");
    return gather(m, kind, first, true);
}

/* Appends stack[first ..] to the container below them. */
static sky_status add_items(struct machine *m, enum sky_pickle_kind kind, int64_t first, bool mark)
{
    const int64_t at = first - mark - 1;
    if (at < 0 || m->stack[at] == MARK || m->pickle->values[m->stack[at]].kind != kind)
        return refuse(m, kind == SKY_PICKLE_DICT ? "it sets items of something that is no dictionary" : "it appends to something that is no list");
    if (kind == SKY_PICKLE_DICT && (m->depth - first) % 2) return refuse(m, "a key without a value");
    for (int64_t i = first; i < m->depth; i++) {
        if (m->stack[i] == MARK) return refuse(m, "it takes from an empty stack");
        SKY_TRY(append(m, m->stack[at], m->stack[i]));
    }
    m->depth = at + 1;
    return SKY_OK;
}

static sky_status add_marked(struct machine *m, enum sky_pickle_kind kind)
{
    int64_t first = 0;
    SKY_TRY(find_mark(m, &first));
    return add_items(m, kind, first, true);
}

/* ---- memo ---- */

static sky_status remember(struct machine *m, uint64_t number)
{
    struct sky_pickle_value *value = NULL;
    SKY_TRY(top(m, &value));
    if (number > (uint64_t)(m->end - m->start)) return refuse(m, "a memo number beyond all that it can hold");
    while (m->memo_count <= (int64_t)number) {
        SKY_TRY(sky_grow(&m->memo, m->memo_count, &m->memo_capacity, sizeof *m->memo, "a pickle's memo"));
        m->memo[m->memo_count++] = MARK;
    }
    m->memo[number] = m->stack[m->depth - 1];
    return SKY_OK;
}

static sky_status recall(struct machine *m, uint64_t number)
{
    if (number >= (uint64_t)m->memo_count || m->memo[number] == MARK) return refuse(m, "it recalls what it did not remember");
    return push(m, m->memo[number]);
}

/* ---- names and calls ---- */

/* The index of "module name", or a refusal that names it. */
static sky_status push_global(struct machine *m, const char *module, size_t module_length, const char *name, size_t name_length)
{
    for (int64_t i = 0; m->globals[i]; i++) {
        const char *known = m->globals[i];
        if (strlen(known) != module_length + 1 + name_length || memcmp(known, module, module_length) != 0) continue;
        if (known[module_length] == ' ' && memcmp(known + module_length + 1, name, name_length) == 0)
            return push_new(m, (struct sky_pickle_value){.kind = SKY_PICKLE_GLOBAL, .integer = i});
    }
    char shown[160];
    size_t used = 0;
    for (size_t i = 0; i < module_length + 1 + name_length && used < sizeof shown - 1; i++) {
        const char c = i < module_length ? module[i] : i == module_length ? '.' : name[i - module_length - 1];
        shown[used++] = c >= ' ' && c <= '~' ? c : '?';
    }
    shown[used] = 0;
    sky_fail(SKY_FORMAT, m->path, "it asks for %s, which is not among the few names that plain weights need: nothing of it is run", shown);
    return sky_hint("save plain weights where the file was made: torch.save(model.state_dict(), FILE)");
}

static sky_status read_global(struct machine *m)
{
    const char *module = NULL, *name = NULL;
    size_t module_length = 0, name_length = 0;
    SKY_TRY(take_line(m, &module, &module_length));
    SKY_TRY(take_line(m, &name, &name_length));
    return push_global(m, module, module_length, name, name_length);
}

static sky_status read_stack_global(struct machine *m)
{
    int32_t name = 0, module = 0;
    SKY_TRY(pop(m, &name));
    SKY_TRY(pop(m, &module));
    const struct sky_pickle_value *a = &m->pickle->values[module], *b = &m->pickle->values[name];
    if (a->kind != SKY_PICKLE_TEXT || b->kind != SKY_PICKLE_TEXT) return refuse(m, "a name that is no text");
    return push_global(m, a->text, a->length, b->text, b->length);
}

/* OrderedDict(), or as Python 2 wrote it: OrderedDict([[key, value], ...]). */
static sky_status make_dict(struct machine *m, int32_t arguments)
{
    struct sky_pickle *pickle = m->pickle;
    const struct sky_pickle_value *list = sky_pickle_item(pickle, &pickle->values[arguments], 0);
    const int32_t given = pickle->values[arguments].count;
    if (given > 1 || (list && list->kind != SKY_PICKLE_LIST)) return refuse(m, "an OrderedDict of something unknown");
    int32_t cell = list ? list->first : -1;
    SKY_TRY(push_new(m, (struct sky_pickle_value){.kind = SKY_PICKLE_DICT}));
    const int32_t made = m->stack[m->depth - 1];
    for (; cell >= 0; cell = pickle->cells[cell].next) {
        const struct sky_pickle_value pair = pickle->values[pickle->cells[cell].value];
        if ((pair.kind != SKY_PICKLE_LIST && pair.kind != SKY_PICKLE_TUPLE) || pair.count != 2) return refuse(m, "an OrderedDict of something unknown");
        const int32_t key = pickle->cells[pair.first].value, value = pickle->cells[pickle->cells[pair.first].next].value;
        SKY_TRY(append(m, made, key));
        SKY_TRY(append(m, made, value));
    }
    return SKY_OK;
}

static sky_status reduce(struct machine *m)
{
    int32_t arguments = 0, callee = 0;
    SKY_TRY(pop(m, &arguments));
    SKY_TRY(pop(m, &callee));
    const struct sky_pickle_value given = m->pickle->values[arguments], name = m->pickle->values[callee];
    if (name.kind != SKY_PICKLE_GLOBAL || given.kind != SKY_PICKLE_TUPLE) return refuse(m, "a call of something without a name");
    if (name.integer == ORDERED_DICT) return make_dict(m, arguments);
    SKY_TRY(push_new(m, (struct sky_pickle_value){.kind = SKY_PICKLE_CALL, .integer = name.integer}));
    struct sky_pickle_value *made = &m->pickle->values[m->stack[m->depth - 1]];
    made->first = given.first, made->last = given.last, made->count = given.count; /* a tuple never grows: its cells can be shared */
    return SKY_OK;
}

/* Attributes of a dictionary (torch keeps version numbers in one) are dropped; nothing else may have any. */
static sky_status build(struct machine *m)
{
    int32_t state = 0;
    struct sky_pickle_value *value = NULL;
    SKY_TRY(pop(m, &state));
    SKY_TRY(top(m, &value));
    return value->kind == SKY_PICKLE_DICT ? SKY_OK : refuse(m, "it gives attributes to something that is no dictionary");
}

static sky_status persistent(struct machine *m)
{
    int32_t id = 0;
    SKY_TRY(pop(m, &id));
    SKY_TRY(push_new(m, (struct sky_pickle_value){.kind = SKY_PICKLE_PERSISTENT}));
    return append(m, m->stack[m->depth - 1], id);
}

/* ---- plain values ---- */

static sky_status push_text(struct machine *m, int length_bytes)
{
    uint64_t length = 0;
    const unsigned char *from = NULL;
    SKY_TRY(take_number(m, length_bytes, &length));
    if (length > (uint64_t)(m->end - m->at)) return refuse_end(m);
    SKY_TRY(take(m, (size_t)length, &from));
    return push_new(m, (struct sky_pickle_value){.kind = SKY_PICKLE_TEXT, .text = (const char *)from, .length = (size_t)length});
}

/* LONG1: up to 255 bytes, two's complement. */
static sky_status push_long(struct machine *m)
{
    uint64_t length = 0, value = 0;
    const unsigned char *from = NULL;
    SKY_TRY(take_number(m, 1, &length));
    SKY_TRY(take(m, (size_t)length, &from));
    if (length > 8) return push_new(m, (struct sky_pickle_value){.kind = SKY_PICKLE_LARGE, .text = (const char *)from, .length = (size_t)length});
    if (length && from[length - 1] & 0x80) value = UINT64_MAX;
    for (uint64_t i = length; i-- > 0;) value = value << 8 | from[i];
    return push_new(m, (struct sky_pickle_value){.kind = SKY_PICKLE_INT, .integer = (int64_t)value});
}

static sky_status push_real(struct machine *m)
{
    const unsigned char *from = NULL;
    uint64_t bits = 0;
    struct sky_pickle_value value = {.kind = SKY_PICKLE_REAL};
    SKY_TRY(take(m, 8, &from));
    for (int i = 0; i < 8; i++) bits = bits << 8 | from[i];
    memcpy(&value.real, &bits, sizeof bits);
    return push_new(m, value);
}

static sky_status push_int(struct machine *m, int bytes)
{
    uint64_t value = 0;
    SKY_TRY(take_number(m, bytes, &value));
    return push_new(m, (struct sky_pickle_value){.kind = SKY_PICKLE_INT, .integer = bytes == 4 ? (int64_t)(int32_t)(uint32_t)value : (int64_t)value});
}

static sky_status memo_operation(struct machine *m, int bytes, bool put)
{
    uint64_t number = 0;
    SKY_TRY(take_number(m, bytes, &number));
    return put ? remember(m, number) : recall(m, number);
}

static sky_status skip_number(struct machine *m, int bytes)
{
    uint64_t ignored = 0;
    return take_number(m, bytes, &ignored);
}

static sky_status drop(struct machine *m)
{
    int32_t ignored = 0;
    return pop(m, &ignored);
}

static sky_status push_kind(struct machine *m, enum sky_pickle_kind kind, int64_t integer)
{
    return push_new(m, (struct sky_pickle_value){.kind = kind, .integer = integer});
}

static sky_status unknown(struct machine *m, unsigned char opcode)
{
    char what[64] = "opcode 0x00, which plain weights do not use";
    what[9] = "0123456789abcdef"[opcode >> 4];
    what[10] = "0123456789abcdef"[opcode & 15];
    return refuse(m, what);
}

static sky_status step(struct machine *m, unsigned char opcode)
{
    switch (opcode) {
    case 0x80: return skip_number(m, 1); /* PROTO */
    case 0x95: return skip_number(m, 8); /* FRAME */
    case '(': return push(m, MARK);
    case '0': return drop(m);
    case 'N': return push_kind(m, SKY_PICKLE_NONE, 0);
    case 0x88: return push_kind(m, SKY_PICKLE_BOOL, 1);
    case 0x89: return push_kind(m, SKY_PICKLE_BOOL, 0);
    case 'J': return push_int(m, 4);
    case 'K': return push_int(m, 1);
    case 'M': return push_int(m, 2);
    case 0x8a: return push_long(m);
    case 'G': return push_real(m);
    case 'X': case 'T': case 'B': return push_text(m, 4); /* text, Python 2's text, bytes */
    case 'U': case 'C': case 0x8c: return push_text(m, 1);
    case 0x8d: case 0x8e: return push_text(m, 8);
    case ')': return push_kind(m, SKY_PICKLE_TUPLE, 0);
    case ']': return push_kind(m, SKY_PICKLE_LIST, 0);
    case '}': return push_kind(m, SKY_PICKLE_DICT, 0);
    case 't': return gather_marked(m, SKY_PICKLE_TUPLE);
    case 'l': return gather_marked(m, SKY_PICKLE_LIST);
    case 'd': return gather_marked(m, SKY_PICKLE_DICT);
    case 0x85: case 0x86: case 0x87: return gather(m, SKY_PICKLE_TUPLE, m->depth - (opcode - 0x84), false);
    case 'a': return add_items(m, SKY_PICKLE_LIST, m->depth - 1, false);
    case 'e': return add_marked(m, SKY_PICKLE_LIST);
    case 's': return add_items(m, SKY_PICKLE_DICT, m->depth - 2, false);
    case 'u': return add_marked(m, SKY_PICKLE_DICT);
    case 'c': return read_global(m);
    case 0x93: return read_stack_global(m);
    case 'R': return reduce(m);
    case 'b': return build(m);
    case 'Q': return persistent(m);
    case 'q': return memo_operation(m, 1, true);
    case 'r': return memo_operation(m, 4, true);
    case 0x94: return remember(m, (uint64_t)m->memo_count);
    case 'h': return memo_operation(m, 1, false);
    case 'j': return memo_operation(m, 4, false);
    default: return unknown(m, opcode);
    }
}

static sky_status run(struct machine *m)
{
    const unsigned char *opcode = NULL;
    while (true) {
        SKY_TRY(take(m, 1, &opcode));
        if (*opcode != '.') SKY_TRY(step(m, *opcode));
        else return pop(m, &m->pickle->root);
    }
}

sky_status sky_pickle_read(struct sky_pickle *pickle, const char *path, const unsigned char *bytes, size_t count, const char *const *globals)
{
    struct machine m = {.pickle = pickle, .path = path, .at = bytes, .start = bytes, .end = bytes + (count < MAX_BYTES ? count : MAX_BYTES),
                        .globals = globals};
    memset(pickle, 0, sizeof *pickle);
    const sky_status status = run(&m);
    pickle->used_bytes = (size_t)(m.at - m.start);
    free(m.stack);
    free(m.memo);
    if (status != SKY_OK) sky_pickle_free(pickle);
    return status;
}

void sky_pickle_free(struct sky_pickle *pickle)
{
    free(pickle->values);
    free(pickle->cells);
    memset(pickle, 0, sizeof *pickle);
}

const struct sky_pickle_value *sky_pickle_item(const struct sky_pickle *pickle, const struct sky_pickle_value *value, int number)
{
    int32_t cell = value->first;
    while (cell >= 0 && number-- > 0) cell = pickle->cells[cell].next;
    return cell < 0 ? NULL : &pickle->values[pickle->cells[cell].value];
}

bool sky_pickle_text_is(const struct sky_pickle_value *value, const char *text)
{
    return value && value->kind == SKY_PICKLE_TEXT && value->length == strlen(text) && memcmp(value->text, text, value->length) == 0;
}
