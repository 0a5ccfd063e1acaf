// Nothing of its own: the program is there for its precompiled headers, which all tests share.
int main() {}
