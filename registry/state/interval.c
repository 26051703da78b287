#include "registry/state/interval.h"

#include <assert.h>

static bool is_endless(struct bytes end)
{
    return end.size == 1 && end.data[0] == 0;
}

static int compare_ends(struct bytes a, struct bytes b)
{
    if (is_endless(a) || is_endless(b))
        return (int)is_endless(a) - (int)is_endless(b);
    return bytes_compare(a, b);
}

static int compare(struct bytes from, struct bytes end, const struct interval *node)
{
    int order = bytes_compare(from, node->from);
    return order != 0 ? order : compare_ends(end, node->end);
}

static unsigned height(const struct interval *node)
{
    return node != NULL ? node->height : 0;
}

static void update(struct interval *node)
{
    unsigned left = height(node->left), right = height(node->right);
    node->height = 1 + (left > right ? left : right);
    node->farthest = node->end;
    if (node->left != NULL && compare_ends(node->left->farthest, node->farthest) > 0)
        node->farthest = node->left->farthest;
    if (node->right != NULL && compare_ends(node->right->farthest, node->farthest) > 0)
        node->farthest = node->right->farthest;
}

static struct interval *rotate_right(struct interval *node)
{
    struct interval *up = node->left;
    node->left = up->right;
    up->right = node;
    update(node);
    update(up);
    return up;
}

static struct interval *rotate_left(struct interval *node)
{
    struct interval *up = node->right;
    node->right = up->left;
    up->left = node;
    update(node);
    update(up);
    return up;
}

static struct interval *balance(struct interval *node)
{
    update(node);
    if (height(node->left) > height(node->right) + 1) {
        if (height(node->left->left) < height(node->left->right))
            node->left = rotate_left(node->left);
        return rotate_right(node);
    }
    if (height(node->right) > height(node->left) + 1) {
        if (height(node->right->right) < height(node->right->left))
            node->right = rotate_right(node->right);
        return rotate_left(node);
    }
    return node;
}

struct interval *interval_find(struct interval *root, struct bytes from, struct bytes end)
{
    while (root != NULL) {
        int order = compare(from, end, root);
        if (order == 0)
            break;
        root = order < 0 ? root->left : root->right;
    }
    return root;
}

struct interval *interval_insert(struct interval *root, struct interval *added)
{
    if (root == NULL) {
        added->left = added->right = NULL;
        update(added);
        return added;
    }
    int order = compare(added->from, added->end, root);
    assert(order != 0);
    if (order < 0)
        root->left = interval_insert(root->left, added);
    else
        root->right = interval_insert(root->right, added);
    return balance(root);
}

/* Takes the first node out of a tree that has one. */
static struct interval *take_first(struct interval *root, struct interval **first)
{
    if (root->left == NULL) {
        *first = root;
        return root->right;
    }
    root->left = take_first(root->left, first);
    return balance(root);
}

struct interval *interval_remove(struct interval *root, struct interval *node)
{
    assert(root != NULL);
    int order = compare(node->from, node->end, root);
    if (order < 0) {
        root->left = interval_remove(root->left, node);
    } else if (order > 0) {
        root->right = interval_remove(root->right, node);
    } else {
        assert(root == node);
        if (root->right == NULL)
            return root->left;
        struct interval *first, *right = take_first(root->right, &first);
        first->left = root->left;
        first->right = right;
        root = first;
    }
    return balance(root);
}

void interval_each(struct interval *root, struct bytes key,
                   void (*each)(void *context, struct interval *node), void *context)
{
    while (root != NULL && (is_endless(root->farthest) || bytes_compare(key, root->farthest) < 0)) {
        interval_each(root->left, key, each, context);
        if (bytes_compare(root->from, key) > 0)
            return;
        if (is_endless(root->end) || bytes_compare(key, root->end) < 0)
            each(context, root);
        root = root->right;
    }
}
