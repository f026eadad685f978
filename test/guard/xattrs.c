/*
 * xattrs: reads NUL-terminated paths on stdin and prints, for each path that has extended
 * attributes, `<hex of path>\t<name>=<hex of value>\t...` with the names in order. ACLs, SELinux
 * labels and file capabilities are extended attributes too. Links are not followed. Node cannot
 * read attributes, and getfattr quotes names in a way that differs between versions.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

static char names[65536], value[65536], *list[4096];

static int by_name(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static void hex(const char *bytes, size_t n) {
  for (size_t i = 0; i < n; i++) printf("%02x", (unsigned char)bytes[i]);
}

int main(void) {
  char *path = NULL;
  size_t room = 0;
  while (getdelim(&path, &room, 0, stdin) > 0) {
    ssize_t size = llistxattr(path, names, sizeof names);
    size_t count = 0;
    if (size <= 0) continue;
    for (char *name = names; name < names + size && count < 4096; name += strlen(name) + 1)
      list[count++] = name;
    qsort(list, count, sizeof *list, by_name);
    hex(path, strlen(path));
    for (size_t i = 0; i < count; i++) {
      ssize_t n = lgetxattr(path, list[i], value, sizeof value);
      printf("\t%s=", list[i]);
      if (n < 0) printf("unreadable");
      else hex(value, n);
    }
    putchar('\n');
  }
  free(path);
  return 0;
}
