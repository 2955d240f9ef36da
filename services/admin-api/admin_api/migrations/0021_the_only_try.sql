-- A code that two tries may have sent is taken back by neither.

comment on column stock_codes.sent_by is 'The only try that may have sent it, which alone can say that it did not; null after a second one.';
