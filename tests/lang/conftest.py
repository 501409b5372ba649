"""No deadlines: these tests share the machine with compilers and other tests."""

from hypothesis import settings

settings.register_profile("gnomon", deadline=None)
settings.load_profile("gnomon")
