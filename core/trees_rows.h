/* Scoring of rows with words of one width; included by trees.h once for each. */

typedef OV_LANE OV_NAME(ov_ranks) __attribute__((vector_size(OV_TREE_LANES * sizeof(OV_WORD)), aligned(32)));
typedef OV_WORD OV_NAME(ov_lanes) __attribute__((vector_size(OV_TREE_LANES * sizeof(OV_WORD)), aligned(32)));

OV_INLINE double OV_NAME(ov_trees_sum)(const ov_trees *t, uint32_t library, const OV_WORD *state, uint32_t stride) {
    double sum = t->base;
    if (t->word_count == t->tree_count) {
        for (uint32_t tree = 0; tree < t->tree_count; tree++)
            sum = ov_tree_sum(library, sum, t->leaves[t->word_leaves[tree] + OV_LOWEST(state[(size_t)tree * stride])]);
        return sum;
    }
    for (uint32_t tree = 0; tree < t->tree_count; tree++) {
        uint32_t word = t->tree_words[tree];
        while (state[(size_t)word * stride] == 0) word++;
        sum = ov_tree_sum(library, sum, t->leaves[t->word_leaves[word] + OV_LOWEST(state[(size_t)word * stride])]);
    }
    return sum;
}

/* What the value of one column rules out, but for the numeric entries. */
OV_INLINE void OV_NAME(ov_trees_special)(const ov_trees *t, uint32_t library, const ov_column *column, double x, OV_WORD *state,
                                         uint32_t stride) {
    if (ov_tree_is_special(column, x)) {
        uint32_t i = x != x ? column->missing : column->zero;
        const uint32_t end = x != x ? column->missing_end : column->zero_end;
        for (; i < end; i++) state[(size_t)t->words[i] * stride] &= t->OV_KEEPS[i];
    }
    if (column->category != column->category_end && x == x) {
        int64_t category = ov_tree_category(library, x);
        for (uint32_t i = column->category; i < column->category_end; i++)
            state[(size_t)t->words[i] * stride] &= t->OV_KEEPS[i] | ((OV_WORD)ov_tree_set_fails(t, library, i, category) - 1);
    }
}

/* What the value of one column rules out. */
OV_INLINE void OV_NAME(ov_trees_column)(const ov_trees *t, uint32_t library, uint32_t c, double x, OV_WORD *restrict state) {
    const uint32_t *restrict words = t->words;
    const OV_WORD *restrict keeps = t->OV_KEEPS;
    const ov_column *column = &t->columns[c];
    const double *threshold = t->thresholds + column->numeric + c;
    x = ov_tree_value(library, x);
    if (!ov_tree_is_special(column, x))
        for (uint32_t i = column->numeric; x > *threshold; i++, threshold++) state[words[i]] &= keeps[i];
    if (x != x || column->has_special) OV_NAME(ov_trees_special)(t, library, column, x, state, 1);
}

OV_INLINE double OV_NAME(ov_trees_row)(const ov_trees *t, uint32_t library, const double *row, OV_WORD *restrict state) {
    memset(state, 0xff, t->word_count * sizeof(OV_WORD));
    for (uint32_t c = 0; c < t->column_count; c++) OV_NAME(ov_trees_column)(t, library, c, row[c], state);
    return OV_NAME(ov_trees_sum)(t, library, state, 1);
}

static void OV_NAME(ov_trees_half)(const ov_trees *t, uint32_t library, const double *row, uint32_t of_offer, OV_WORD *state) {
    memset(state, 0xff, t->word_count * sizeof(OV_WORD));
    for (uint32_t c = 0; c < t->column_count; c++)
        if (t->columns[c].of_offer == of_offer) OV_NAME(ov_trees_column)(t, library, c, row[c], state);
}

/* Sums of several offers side by side: each waits for its own last addition only. */
OV_INLINE void OV_NAME(ov_trees_offers)(const ov_trees *t, uint32_t library, const OV_WORD *person, const void *const *offers,
                                        double *out) {
    const int one_word_each = t->word_count == t->tree_count;
    const OV_WORD *of[OV_TREE_OFFERS];
    double sums[OV_TREE_OFFERS];
    for (int k = 0; k < OV_TREE_OFFERS; k++) {
        of[k] = (const OV_WORD *)offers[k];
        sums[k] = t->base;
    }
    for (uint32_t tree = 0; tree < t->tree_count; tree++) {
        const uint32_t first = one_word_each ? tree : t->tree_words[tree];
        for (int k = 0; k < OV_TREE_OFFERS; k++) {
            uint32_t word = first;
            OV_WORD left = person[word] & of[k][word];
            while (!one_word_each && left == 0) {
                word++;
                left = person[word] & of[k][word];
            }
            sums[k] = ov_tree_sum(library, sums[k], t->leaves[t->word_leaves[word] + OV_LOWEST(left)]);
        }
    }
    memcpy(out, sums, sizeof sums);
}

/* OV_TREE_LANES rows: `state` holds the lanes of every word, and after them the values by column. */
OV_INLINE void OV_NAME(ov_trees_lanes)(const ov_trees *t, uint32_t library, const double *rows, OV_NAME(ov_lanes) *state,
                                       double *out) {
    const uint32_t columns = t->column_count;
    memset(state, 0xff, t->word_count * sizeof(*state));
    for (uint32_t c = 0; c < columns; c++) {
        const ov_column *column = &t->columns[c];
        const double *thresholds = t->thresholds + column->numeric + c;
        const uint32_t *words = t->words + column->numeric;
        const OV_WORD *keeps = t->OV_KEEPS + column->numeric;
        const uint32_t n = column->numeric_end - column->numeric;
        OV_NAME(ov_ranks) ranks;
        uint32_t most = 0;
        double x[OV_TREE_LANES];
        uint32_t at[OV_TREE_LANES];
        for (int lane = 0; lane < OV_TREE_LANES; lane++) {
            x[lane] = ov_tree_value(library, rows[(size_t)lane * columns + c]);
            at[lane] = 0;
        }
        for (uint32_t left = n; left > 1; left -= left / 2)
            for (int lane = 0; lane < OV_TREE_LANES; lane++)
                at[lane] += (left / 2) & -(uint32_t)(x[lane] > thresholds[at[lane] + left / 2 - 1]);
        for (int lane = 0; lane < OV_TREE_LANES; lane++) {
            /* After the last threshold stands infinity, which nothing is above. */
            uint32_t rank = at[lane] + (x[lane] > thresholds[at[lane]]);
            if (ov_tree_is_special(column, x[lane])) rank = 0;
            ranks[lane] = (OV_LANE)rank;
            most = rank > most ? rank : most;
        }
        for (uint32_t i = 0; i < most; i++) {
            OV_NAME(ov_ranks) holds = (OV_LANE)(i + 1) > ranks;
            state[words[i]] &= (OV_NAME(ov_lanes))holds | keeps[i];
        }
        if (column->missing != column->missing_end || column->has_special)
            for (int lane = 0; lane < OV_TREE_LANES; lane++)
                OV_NAME(ov_trees_special)(t, library, column, x[lane], (OV_WORD *)state + lane, OV_TREE_LANES);
    }
    for (int lane = 0; lane < OV_TREE_LANES; lane++) out[lane] = OV_NAME(ov_trees_sum)(t, library, (const OV_WORD *)state + lane, OV_TREE_LANES);
}
