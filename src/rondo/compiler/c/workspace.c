/* How the memory of a run is divided. */

RARE char *take(char **next, int64_t bytes) {
    char *const taken = *next;
    *next += (bytes + 63) / 64 * 64;
    return taken;
}

RARE int64_t capacity(const call *c) {
    return !CHUNKED ? 0 : c->chunk_rows > c->num_rows ? c->chunk_rows : c->num_rows;
}

RARE int64_t lay_out_part(const call *c, char *begin, struct room *room) {
    char *next = begin;
    room->capacity = capacity(c);
    room->step_capacity = c->num_rows;
    room->chunk = (real *)take(&next, room->capacity * CHUNK_SIZE * sizeof(real));
    room->local = (real *)take(&next, c->num_rows * LOCAL_SIZE * sizeof(real));
    room->packed_rows = (int64_t *)take(&next, room->capacity * sizeof(int64_t));
    room->previous = (const real **)take(&next, NUM_PREVIOUS * room->capacity * sizeof(real *));
    return next - begin;
}

RARE int64_t lay_out_desk(const call *c, char *begin, struct room *room) {
    char *next = begin;
    room->panel = (real *)take(&next, capacity(c) * PANEL_COLUMNS * sizeof(real));
    room->rows = take(&next, ROWS_BYTES);
    room->left = (const real **)take(&next, capacity(c) * sizeof(real *));
    room->right = (const real **)take(&next, capacity(c) * sizeof(real *));
    return next - begin;
}

/* Lay out the workspace; returns its size. */
RARE int64_t lay_out(call *c) {
    char *next = c->workspace;
    struct room room;
    int64_t packed = 0;
    for (int m = 0; m < NUM_MATRICES; ++m)
        packed += packed_size(MATRICES[m].depth, MATRICES[m].width);
    c->packed = (real *)take(&next, packed * sizeof(real));
    c->totals = (real *)take(&next, c->num_parts * TOTALS_SIZE * sizeof(real));
    c->starts = (int64_t *)take(&next, (c->num_all_steps + 1) * sizeof(int64_t));
    c->bounds = (int64_t *)take(&next, (c->num_parts + 1) * sizeof(int64_t));
    c->is_new = (int64_t *)take(&next, c->num_parts * sizeof(int64_t));
    c->rooms = next;
    c->desks = next + c->num_parts * lay_out_part(c, next, &room);
    return c->desks - c->workspace + c->num_parts * c->team * lay_out_desk(c, next, &room);
}

/* The memory of a part, and of a piece of the work on it. */
RARE void room_of(const call *c, int64_t part, int64_t member, struct room *room) {
    const int64_t part_size = lay_out_part(c, c->rooms, room);
    const int64_t desk_size = lay_out_desk(c, c->desks, room);
    lay_out_part(c, c->rooms + part * part_size, room);
    lay_out_desk(c, c->desks + (part * c->team + member) * desk_size, room);
    room->totals = c->totals + part * TOTALS_SIZE;
    room->is_new = c->is_new[part];
    room->member = member;
    room->team = c->team;
    room->is_last = 0;
}

/* Bytes that a run takes, in which only the sizes are set. */
int64_t rondo_workspace_bytes(const call *given) {
    call c = *given;
    c.workspace = (char *)&c; /* only differences count */
    return lay_out(&c);
}
