/* The library's headers first: cmocka.h has a macro named fail. */
#include "beneath.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char top[64]; /* everything; the lake is top/lake */
static int lake;

static void put(const char *path, const char *text)
{
	int fd = openat(lake, path, O_WRONLY | O_CREAT | O_TRUNC, 0666);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static int setup(void **state)
{
	char path[128];

	snprintf(top, sizeof(top), "/tmp/sluice-beneath-XXXXXX");
	assert_non_null(mkdtemp(top));
	snprintf(path, sizeof(path), "%s/lake", top);
	assert_int_equal(mkdir(path, 0777), 0);
	lake = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(lake >= 0);
	put("../outside", "secret");
	assert_int_equal(mkdirat(lake, "a", 0777), 0);
	assert_int_equal(mkdirat(lake, "a/b", 0777), 0);
	put("a/b/file", "data");
	assert_int_equal(symlinkat("..", lake, "up"), 0);
	assert_int_equal(symlinkat("b", lake, "a/link"), 0);
	assert_int_equal(symlinkat("file", lake, "a/b/alias"), 0);
	assert_int_equal(symlinkat("/etc", lake, "abs"), 0);
	assert_int_equal(symlinkat("nowhere", lake, "a/dangling"), 0);
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	close(lake);
	snprintf(command, sizeof(command), "rm -rf '%s'", top);
	return system(command);
}

static void assert_fails(int fd, int e)
{
	int is = errno;

	if (fd >= 0)
		fail_msg("opened, should fail with %s", strerror(e));
	if (is != e)
		fail_msg("%s, should be %s", strerror(is), strerror(e));
}

static void assert_holds(int fd, const char *want)
{
	char text[64];
	ssize_t n = read(fd, text, sizeof(text));

	assert_int_equal(n, strlen(want));
	assert_memory_equal(text, want, strlen(want));
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	close(fd);
}

static bool is_dir(int fd)
{
	struct stat st;
	bool dir = fd >= 0 && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);

	if (fd >= 0)
		close(fd);
	return dir;
}

static void files_and_directories_below_are_opened(void **state)
{
	assert_holds(beneath_open(lake, "a/b/file", O_RDONLY, 0), "data");
	assert_true(is_dir(beneath_dir(lake, "a/b")));
	assert_true(is_dir(beneath_dir(lake, "a")));
	assert_true(is_dir(beneath_dir(lake, "")));
	assert_true(is_dir(beneath_open(lake, "a", O_RDONLY, 0)));
}

static void files_are_made_below(void **state)
{
	int fd = beneath_open(lake, "a/new", O_WRONLY | O_CREAT | O_EXCL, 0640);
	struct stat st;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	close(fd);
	assert_fails(beneath_open(lake, "a/new", O_WRONLY | O_CREAT | O_EXCL, 0640), EEXIST);
	fd = beneath_open(lake, "top", O_WRONLY | O_CREAT, 0666);
	assert_true(fd >= 0);
	close(fd);
}

static void what_is_missing_is_missing(void **state)
{
	assert_fails(beneath_open(lake, "a/none", O_RDONLY, 0), ENOENT);
	assert_fails(beneath_open(lake, "none/none", O_RDONLY, 0), ENOENT);
	assert_fails(beneath_dir(lake, "none"), ENOENT);
}

static void a_symlink_is_never_followed(void **state)
{
	int made;

	assert_fails(beneath_open(lake, "up/outside", O_RDONLY, 0), ELOOP);
	assert_fails(beneath_open(lake, "abs/passwd", O_RDONLY, 0), ELOOP);
	assert_fails(beneath_open(lake, "a/link/file", O_RDONLY, 0), ELOOP);
	assert_fails(beneath_open(lake, "a/b/alias", O_RDONLY, 0), ELOOP);
	assert_fails(beneath_open(lake, "a/dangling", O_WRONLY | O_CREAT, 0666), ELOOP);
	assert_fails(beneath_dir(lake, "a/link"), ELOOP);
	assert_fails(beneath_dir(lake, "up"), ELOOP);
	assert_fails(beneath_make_dir(lake, "up/x", &made), ELOOP);
	assert_fails(beneath_make_dir(lake, "a/dangling/x", &made), ELOOP);
	assert_fails(beneath_make_dir(lake, "abs/x", &made), ELOOP);
	assert_fails(openat(lake, "../x", O_RDONLY), ENOENT);
	assert_fails(openat(lake, "a/nowhere", O_RDONLY), ENOENT);
}

/* What no caller asks for, but a damaged journal might. */
static void nothing_leads_out(void **state)
{
	int made;

	assert_fails(beneath_open(lake, "../outside", O_RDONLY, 0), EXDEV);
	assert_fails(beneath_open(lake, "a/../../outside", O_RDONLY, 0), EXDEV);
	assert_fails(beneath_open(lake, "/etc/passwd", O_RDONLY, 0), EXDEV);
	assert_fails(beneath_open(lake, "..", O_RDONLY, 0), EXDEV);
	assert_fails(beneath_dir(lake, ".."), EXDEV);
	assert_fails(beneath_make_dir(lake, "../new", &made), EXDEV);
	assert_fails(beneath_make_dir(lake, "a/b/../../../new", &made), EXDEV);
	assert_fails(beneath_make_dir(lake, "new/../../new", &made), EXDEV);
	assert_fails(openat(lake, "../new", O_RDONLY), ENOENT);
}

static void a_file_in_the_way_is_no_directory(void **state)
{
	int made;

	assert_fails(beneath_open(lake, "a/b/file/x", O_RDONLY, 0), ENOTDIR);
	assert_fails(beneath_dir(lake, "a/b/file"), ENOTDIR);
	assert_fails(beneath_make_dir(lake, "a/b/file/x/y", &made), ENOTDIR);
	assert_int_equal(made, 0);
}

static void directories_are_made_and_counted(void **state)
{
	int made;

	assert_true(is_dir(beneath_make_dir(lake, "a/b/c/d/e", &made)));
	assert_int_equal(made, 3);
	assert_true(is_dir(beneath_make_dir(lake, "a/b/c/d/e", &made)));
	assert_int_equal(made, 0);
	assert_true(is_dir(beneath_make_dir(lake, "x", &made)));
	assert_int_equal(made, 1);
	assert_true(is_dir(beneath_make_dir(lake, "", &made)));
	assert_int_equal(made, 0);
}

static void a_long_name_is_an_error(void **state)
{
	char name[400];
	int made;

	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_fails(beneath_make_dir(lake, name, &made), ENAMETOOLONG);
	memcpy(name, "a/y/", 4);
	assert_fails(beneath_make_dir(lake, name, &made), ENAMETOOLONG);
}

/* /proc is a mount wherever this runs. */
static void a_mount_point_is_not_crossed(void **state)
{
	int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), made;

	assert_fails(beneath_dir(root, "proc"), EXDEV);
	assert_fails(beneath_open(root, "proc/version", O_RDONLY, 0), EXDEV);
	assert_fails(beneath_make_dir(root, "proc/x", &made), EXDEV);
	close(root);
}

/* A bind mount is on the same device and yet another tree: of the host, say. */
static bool blind_to_binds; /* a kernel that does not number mounts: devices are all that can be compared */

static void a_bind_mount_is_not_crossed(void **state)
{
	int status;
	pid_t pid;

	if (blind_to_binds)
		skip();
	pid = fork();
	if (pid == 0) {
		char from[128], to[128];

		snprintf(from, sizeof(from), "%s/lake/a", top);
		snprintf(to, sizeof(to), "%s/lake/bound", top);
		if (unshare(CLONE_NEWNS) < 0 ||
		    mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) < 0)
			_exit(42); /* not root */
		if (mkdir(to, 0777) < 0 || mount(from, to, "none", MS_BIND, NULL) < 0)
			_exit(1);
		/* The descriptor from before belongs to the mounts from before. */
		snprintf(from, sizeof(from), "%s/lake", top);
		lake = open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		_exit(beneath_open(lake, "bound/b/file", O_RDONLY, 0) < 0 && errno == EXDEV &&
			    beneath_dir(lake, "bound") < 0 && errno == EXDEV &&
			    openat(lake, "bound/b/file", O_RDONLY) >= 0
			? 0
			: 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 42)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void the_directory_part_of_a_path(void **state)
{
	assert_int_equal(beneath_dirname("a/b/c", 5), 3);
	assert_int_equal(beneath_dirname("a", 1), 0);
	assert_int_equal(beneath_dirname("a/", 2), 1);
	assert_int_equal(beneath_dirname("", 0), 0);
}

static void no_descriptor_is_left_open(void **state)
{
	int before = dup(0), after, made;

	close(before);
	for (int i = 0; i < 3; i++) {
		close(beneath_open(lake, "a/b/file", O_RDONLY, 0));
		close(beneath_make_dir(lake, "a/b/m/n", &made));
		assert_true(beneath_open(lake, "a/link/file", O_RDONLY, 0) < 0);
		assert_true(beneath_open(lake, "a/b/file/x", O_RDONLY, 0) < 0);
		assert_true(beneath_make_dir(lake, "a/b/file/x", &made) < 0);
		assert_true(beneath_open(lake, "none/x", O_RDONLY, 0) < 0);
	}
	after = dup(0);
	close(after);
	assert_int_equal(after, before);
}

/*
 * From here on openat2(2) fails as on a kernel before 5.6 (ENOSYS) or in a container that forbids it (EPERM); `also`
 * too, as if there were none.
 */
static int without_openat2(unsigned error, unsigned also)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, also, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(filter) / sizeof(filter[0]), filter };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static int run(const char *how)
{
	const struct CMUnitTest tests[] = {
		TEST(files_and_directories_below_are_opened),
		TEST(files_are_made_below),
		TEST(what_is_missing_is_missing),
		TEST(a_symlink_is_never_followed),
		TEST(nothing_leads_out),
		TEST(a_file_in_the_way_is_no_directory),
		TEST(directories_are_made_and_counted),
		TEST(a_long_name_is_an_error),
		TEST(a_mount_point_is_not_crossed),
		TEST(a_bind_mount_is_not_crossed),
		TEST(the_directory_part_of_a_path),
		TEST(no_descriptor_is_left_open),
	};

	return cmocka_run_group_tests_name(how, tests, NULL, NULL);
}

/* The same in a process of its own, by the walk. */
static int run_without(const char *how, unsigned error, unsigned also)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		blind_to_binds = also == SYS_statx;
		if (without_openat2(error, also) != 0) {
			print_error("no seccomp: %s is not tested\n", how);
			_exit(0);
		}
		_exit(run(how));
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int main(void)
{
	int failed = run_without("without openat2 (ENOSYS)", ENOSYS, SYS_openat2);

	failed += run_without("openat2 forbidden (EPERM)", EPERM, SYS_openat2);
	failed += run_without("without openat2 and statx", ENOSYS, SYS_statx);
	return failed + run("openat2");
}
