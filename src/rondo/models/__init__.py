"""Networks."""

from rondo.models.lecture_rnn1 import LectureRNN1, lecture_rnn1

__all__ = ["LectureRNN1", "lecture_rnn1"]
