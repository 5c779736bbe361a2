"""One file per test runner, all behind `domain.ports.SuiteRunner`."""
